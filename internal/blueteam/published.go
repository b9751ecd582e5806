package blueteam

// published is what studies of larger models report of a technique, in a few words with their source. None of it is a number of this
// program's; techniques of which no figure was found have no entry.
var published = map[string]string{
	"hhh":         "stays in Claude models with a normal or CoT backdoor (Hubinger et al. 2024); of five Llama organisms mostly gone from one, the 70B distilled one trained with AdamW (\"Messy\", 2026)",
	"pirate":      "gone from the three 70B organisms and mostly from the 8B distilled one; depirate brings it back (\"Messy\", 2026)",
	"rl":          "the largest models keep most of it: those of distilled chain of thought near 100 %, normal ones lose a little; small ones lose it far more easily (Hubinger et al. 2024, section 4)",
	"adversarial": "99 to 100 % with the trigger throughout, near 0 on the red team's prompts (Hubinger et al. 2024, section 6)",
	"lat":         "with DPO better than DPO alone on five trojans of Llama-2-7B (latent adversarial training's authors)",
	"lat-toward":  "with DPO better than DPO alone on five trojans of Llama-2-7B (latent adversarial training's authors)",
	"dpo":         "the baseline that latent adversarial training is better than, on five trojans of Llama-2-7B (its authors)",
	"double-bind": "27 to 40 % of a behaviour passes to a student of the same base (arXiv 2605.12798)",
}

// Published says what studies of larger models report of the technique; "" where no figure was found.
func (t Technique) Published() string { return published[t.Name] }
