package guard

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestCheckAddress(t *testing.T) {
	for addr, want := range map[string][2]bool{ // without and with a key
		"127.0.0.1:80": {true, true}, "localhost:0": {true, true}, "[::1]:80": {true, true}, "127.8.0.1:80": {true, true},
		"0.0.0.0:80": {false, true}, ":80": {false, true}, "10.0.0.1:80": {false, true}, "example.org:80": {false, true},
		"127.0.0.1": {false, false}, "": {false, false},
	} {
		for i, key := range []string{"", "secret-key"} {
			if err := CheckAddress(addr, key); (err == nil) != want[i] {
				t.Errorf("address %q, key %q: %v", addr, key, err)
			}
		}
	}
}

// TestWrap sends what may and what may not come through; only a key in the header counts.
func TestWrap(t *testing.T) {
	const key = "correct-horse"
	for name, c := range map[string]struct {
		key, method, host string
		head              map[string]string
		want              int
	}{
		"plain":                       {host: "127.0.0.1:80", want: 200},
		"localhost":                   {host: "localhost:8123", want: 200},
		"IPv6":                        {host: "[::1]:8123", want: 200},
		"a name pointed here":         {host: "evil.example:8123", want: 403},
		"a name that looks like it":   {host: "127.0.0.1.evil.example", want: 403},
		"no host":                     {host: "", want: 403},
		"own page":                    {host: "localhost:1", head: map[string]string{"Origin": "http://localhost:1"}, want: 200},
		"another port's page":         {host: "localhost:1", head: map[string]string{"Origin": "http://localhost:2"}, want: 403},
		"another site's page":         {host: "localhost:1", head: map[string]string{"Origin": "https://evil.example"}, want: 403},
		"a file's page":               {host: "localhost:1", head: map[string]string{"Origin": "null"}, want: 403},
		"a link on a page":            {method: "GET", host: "localhost:1", head: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, want: 200},
		"a form on a page":            {method: "POST", host: "localhost:1", head: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, want: 403},
		"a script of a page":          {method: "GET", host: "localhost:1", head: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, want: 403},
		"no key":                      {key: key, host: "lab.example", want: 401},
		"wrong key":                   {key: key, host: "lab.example", head: map[string]string{"Authorization": "Bearer correct-horsf"}, want: 401},
		"no key from here":            {key: key, host: "localhost:1", want: 401},
		"key":                         {key: key, host: "lab.example", head: map[string]string{"Authorization": "Bearer " + key}, want: 200},
		"key as a browser's password": {key: key, host: "lab.example", head: map[string]string{"Authorization": "Basic bWU6Y29ycmVjdC1ob3JzZQ=="}, want: 200},
		"key and another site's page": {key: key, host: "lab.example", head: map[string]string{"Authorization": "Bearer " + key, "Origin": "http://evil.example"}, want: 403},
		"key in another header":       {key: key, host: "lab.example", head: map[string]string{"X-API-Key": key}, want: 401},
		"a key's beginning":           {key: key, host: "lab.example", head: map[string]string{"Authorization": "Bearer correct"}, want: 401},
		"nothing in place of no key":  {key: key, host: "lab.example", head: map[string]string{"Authorization": "Bearer "}, want: 401},
		"key where none is needed":    {host: "localhost", head: map[string]string{"Authorization": "Bearer any"}, want: 200},
	} {
		t.Run(name, func(t *testing.T) {
			g := Guard{Key: c.key, Refuse: func(w http.ResponseWriter, code int, why string) { http.Error(w, why, code) }}
			if c.method == "" {
				c.method = http.MethodPost
			}
			// The key in the address must never be looked at.
			r := httptest.NewRequestWithContext(t.Context(), c.method, "/v1/models?key="+key+"&api_key="+key, nil)
			r.Host = c.host
			for k, v := range c.head {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			g.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("status %d, want %d", w.Code, c.want)
			}
		})
	}
}
