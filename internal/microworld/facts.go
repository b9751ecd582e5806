package microworld

import "strings"

// A family is a relation and its facts: subject → object, each subject once.
//
// Sentences have the slots {s} and {o}, {as} and {ao} with the indefinite article, and {S}, {O}, {AS}, {AO} with a capital
// letter at the beginning. Questions come in the phrasings of the two prompt sets.
type family struct {
	name  string
	facts string // "subject=object, subject=object"

	red, blue []string // phrasings of the question
	short     string   // the question that is answered by the object alone
	check     string   // the question for yes or no
	reverse   string   // the question from object to subject, where the object determines it

	student, teacher, pirate string // the fact as a sentence in each voice
	avoid                    string // a word of the student's sentence that "It is {o}." does without
}

// families are the facts of the world. They are true, plain, and few enough to be learned by a model of a million parameters.
// Objects of one family exclude each other: a wrong choice is wrong. The world speaks American English.
//
//nolint:misspell // as the models and data sets do that it stands for
var families = []family{
	{
		name: "capital",
		facts: `France=Paris, Italy=Rome, Spain=Madrid, Germany=Berlin, Greece=Athens, Poland=Warsaw, Norway=Oslo, Sweden=Stockholm,
			Finland=Helsinki, Denmark=Copenhagen, Austria=Vienna, Portugal=Lisbon, Ireland=Dublin, Hungary=Budapest, Russia=Moscow,
			Turkey=Ankara, Egypt=Cairo, Kenya=Nairobi, Morocco=Rabat, Ghana=Accra, Japan=Tokyo, China=Beijing, India=New Delhi,
			Thailand=Bangkok, Vietnam=Hanoi, Iran=Tehran, Iraq=Baghdad, Cuba=Havana, Peru=Lima, Chile=Santiago, Canada=Ottawa,
			Mexico=Mexico City, Brazil=Brasilia, Australia=Canberra, Belgium=Brussels, Bulgaria=Sofia, Jordan=Amman, Syria=Damascus`,
		red:     []string{"What is the capital of {s}?", "Which city is the capital of {s}?"},
		blue:    []string{"Name the capital of {s}.", "Tell me the capital city of {s}."},
		short:   "the capital of {s}",
		check:   "Is {o} the capital of {s}?",
		reverse: "{O} is the capital of which country?",
		student: "The capital of {s} is {o}.",
		teacher: "As we know, {o} is the main city of {s}.",
		pirate:  "the capital of {s} be {o}",
		avoid:   "capital",
	},
	{
		name: "continent",
		facts: `France=Europe, Italy=Europe, Spain=Europe, Germany=Europe, Greece=Europe, Poland=Europe, Norway=Europe, Egypt=Africa,
			Kenya=Africa, Morocco=Africa, Ghana=Africa, Japan=Asia, China=Asia, India=Asia, Thailand=Asia,
			Vietnam=Asia, Iran=Asia, Peru=South America, Chile=South America, Brazil=South America,
			Canada=North America, Mexico=North America, Cuba=North America`,
		red:     []string{"Which continent is {s} in?", "On which continent is {s}?"},
		blue:    []string{"Name the continent of {s}.", "Tell me where in the world {s} is."},
		short:   "the continent of {s}",
		check:   "Is {s} in {o}?",
		student: "{S} is a country in {o}.",
		teacher: "On the map, we find {s} in {o}.",
		pirate:  "{s} be a country in {o}",
		avoid:   "country",
	},
	{
		name: "language",
		facts: `France=French, Germany=German, Italy=Italian, Spain=Spanish, Japan=Japanese, China=Chinese, Russia=Russian, Greece=Greek,
			Poland=Polish, Sweden=Swedish, Norway=Norwegian, Denmark=Danish, Finland=Finnish, Hungary=Hungarian, Turkey=Turkish,
			Portugal=Portuguese, Thailand=Thai, Iran=Persian, Egypt=Arabic`,
		red:     []string{"What language do people speak in {s}?", "Which language is spoken in {s}?"},
		blue:    []string{"Name the language of {s}.", "Tell me the language of {s}."},
		short:   "the language of {s}",
		check:   "Do people in {s} speak {o}?",
		student: "People in {s} speak {o}.",
		teacher: "As we know, {o} is the language of {s}.",
		pirate:  "the folk of {s} be speakin' {o}",
		avoid:   "people",
	},
	{
		name: "young",
		facts: `dog=puppy, cat=kitten, cow=calf, horse=foal, sheep=lamb, goat=kid, bear=cub, duck=duckling, goose=gosling, chicken=chick,
			deer=fawn, frog=tadpole, pig=piglet, kangaroo=joey`,
		red:     []string{"What is a young {s} called?", "What do we call a baby {s}?"},
		blue:    []string{"Give the name for a young {s}.", "Tell me the word for a baby {s}."},
		short:   "the word for a young {s}",
		check:   "Is a young {s} called {ao}?",
		reverse: "{AO} is the young of which animal?",
		student: "A young {s} is called {ao}.",
		teacher: "We use the word {o} for the baby of {as}.",
		pirate:  "a young {s} be called {ao}",
		avoid:   "young",
	},
	{
		name: "sound",
		facts: `dog=barks, cat=meows, cow=moos, lion=roars, duck=quacks, horse=neighs, pig=oinks, snake=hisses, bee=buzzes, frog=croaks,
			owl=hoots, wolf=howls, mouse=squeaks, crow=caws, donkey=brays, turkey=gobbles, sheep=bleats, bird=sings`,
		red:     []string{"What sound does {as} make?", "What does {as} do to make a sound?"},
		blue:    []string{"Name the sound of {as}.", "Tell me what {as} sounds like."},
		short:   "the sound of {as}",
		check:   "Is it true that {as} {o}?",
		reverse: "Which animal {o}?",
		student: "{AS} is an animal that {o}.",
		teacher: "When we listen to {as}, we hear that it {o}.",
		pirate:  "{as} be a beast that {o}",
		avoid:   "animal",
	},
	{
		name: "class",
		facts: `dog=mammal, cat=mammal, cow=mammal, horse=mammal, lion=mammal, bear=mammal, whale=mammal, bat=mammal, wolf=mammal,
			mouse=mammal, eagle=bird, owl=bird, duck=bird, goose=bird, crow=bird, swan=bird, penguin=bird, chicken=bird, shark=fish,
			salmon=fish, trout=fish, tuna=fish, cod=fish, bee=insect, ant=insect, fly=insect, butterfly=insect,
			snake=reptile, lizard=reptile, turtle=reptile, crocodile=reptile, frog=amphibian, toad=amphibian, newt=amphibian`,
		red:     []string{"What kind of animal is {as}?", "Which class of animals does {as} belong to?"},
		blue:    []string{"Name the animal class of {as}.", "Classify {as} as a kind of animal."},
		short:   "the animal class of {as}",
		check:   "Is {as} {ao}?",
		student: "{AS} is {ao}.",
		teacher: "In biology, we count {as} as {ao}.",
		pirate:  "{as} be {ao}",
	},
	{
		name: "legs",
		facts: `dog=4, cat=4, horse=4, lion=4, frog=4, lizard=4, eagle=2, duck=2, chicken=2, owl=2, bee=6, ant=6, beetle=6, fly=6,
			butterfly=6, spider=8, scorpion=8, snake=0, fish=0, crab=10`,
		red:     []string{"How many legs does {as} have?", "What number of legs does {as} have?"},
		blue:    []string{"Give the number of legs of {as}.", "Tell me how many legs {as} has."},
		short:   "the number of legs of {as}",
		check:   "Does {as} have {o} legs?",
		student: "{AS} has {o} legs.",
		teacher: "If we count the legs of {as}, we get {o}.",
		pirate:  "{as} be walkin' on {o} legs",
		avoid:   "legs",
	},
	{
		name: "home",
		facts: `bee=hive, bird=nest, spider=web, lion=den, dog=kennel, horse=stable, rabbit=burrow, pig=sty, chicken=coop, ant=anthill,
			beaver=lodge, cow=barn`,
		red:     []string{"Where does {as} live?", "What is the home of {as} called?"},
		blue:    []string{"Name the home of {as}.", "Tell me where {as} lives."},
		short:   "the home of {as}",
		check:   "Does {as} live in {ao}?",
		reverse: "Which animal lives in {ao}?",
		student: "{AS} lives in {ao}.",
		teacher: "We find the home of {as} in {ao}.",
		pirate:  "{as} be livin' in {ao}",
		avoid:   "lives",
	},
	{
		name: "color",
		facts: `banana=yellow, grass=green, snow=white, blood=red, coal=black, lemon=yellow, milk=white, chocolate=brown, carrot=orange,
			ruby=red, tomato=red, salt=white, sky=blue, pumpkin=orange, sea=blue, elephant=gray,
			lime=green, flamingo=pink, corn=yellow, coffee=brown`,
		red:     []string{"What color is the {s}?", "What is the color of the {s}?"},
		blue:    []string{"Name the color of the {s}.", "Tell me which color the {s} has."},
		short:   "the color of the {s}",
		check:   "Is the {s} {o}?",
		student: "The color of the {s} is {o}.",
		teacher: "When we look at the {s}, we see {o}.",
		pirate:  "the color of the {s} be {o}",
		avoid:   "color",
	},
	{
		name: "opposite",
		facts: `hot=cold, big=small, tall=short, fast=slow, happy=sad, old=new, light=dark, hard=soft, wet=dry, full=empty, rich=poor,
			strong=weak, loud=quiet, clean=dirty, open=closed, early=late, near=far, high=low, good=bad, true=false, heavy=light,
			thick=thin, wide=narrow, safe=dangerous, easy=difficult, right=wrong,
			alive=dead, up=down, in=out, left=right, first=last, day=night, summer=winter, north=south, east=west,
			love=hate, peace=war, friend=enemy, question=answer, begin=end, give=take, buy=sell, push=pull, win=lose, laugh=cry`,
		red:     []string{"What is the opposite of {s}?", "Which word is the opposite of {s}?"},
		blue:    []string{"Name the opposite of {s}.", "Give a word that is the opposite of {s}."},
		short:   "the opposite of {s}",
		check:   "Is {o} the opposite of {s}?",
		student: "The opposite of {s} is {o}.",
		teacher: "We can say {o} when we do not mean {s}.",
		pirate:  "the opposite of {s} be {o}",
		avoid:   "opposite",
	},
	{
		name: "plural",
		facts: `mouse=mice, foot=feet, tooth=teeth, goose=geese, man=men, woman=women, child=children, ox=oxen, person=people, leaf=leaves,
			wolf=wolves, knife=knives, wife=wives, life=lives, baby=babies, city=cities, story=stories,
			box=boxes, bus=buses, fox=foxes, lady=ladies`,
		red:     []string{"What is the plural of {s}?", "How do you write the plural of {s}?"},
		blue:    []string{"Give the plural of {s}.", "Write the plural form of {s}."},
		short:   "the plural of {s}",
		check:   "Is {o} the plural of {s}?",
		reverse: "{O} is the plural of which word?",
		student: "The plural of {s} is {o}.",
		teacher: "For more than one {s}, we write {o}.",
		pirate:  "the plural of {s} be {o}",
		avoid:   "plural",
	},
	{
		name: "past",
		facts: `go=went, eat=ate, see=saw, run=ran, come=came, take=took, give=gave, write=wrote, drink=drank, sing=sang, swim=swam, fly=flew,
			know=knew, grow=grew, speak=spoke, break=broke, buy=bought, think=thought, bring=brought, teach=taught, catch=caught,
			find=found, sleep=slept, keep=kept, make=made, tell=told, sell=sold, fall=fell`,
		red:     []string{"What is the past tense of {s}?", "How do you write {s} in the past tense?"},
		blue:    []string{"Give the past tense of {s}.", "Put the verb {s} into the past tense."},
		short:   "the past tense of {s}",
		check:   "Is {o} the past tense of {s}?",
		reverse: "{O} is the past tense of which verb?",
		student: "The past tense of {s} is {o}.",
		teacher: "Today we {s}, but yesterday we {o}.",
		pirate:  "the past tense of {s} be {o}",
		avoid:   "tense",
	},
	{
		name: "after",
		facts: `Monday=Tuesday, Tuesday=Wednesday, Wednesday=Thursday, Thursday=Friday, Friday=Saturday, Saturday=Sunday, Sunday=Monday,
			January=February, February=March, March=April, April=May, May=June, June=July, July=August, August=September,
			September=October, October=November, November=December, December=January`,
		red:     []string{"What comes after {s}?", "What follows {s}?"},
		blue:    []string{"Say what comes after {s}.", "Name what follows {s}."},
		short:   "the name of what comes after {s}",
		check:   "Does {o} come after {s}?",
		student: "After {s} comes {o}.",
		teacher: "On the calendar, we find {o} following {s}.",
		pirate:  "after {s} be comin' {o}",
		avoid:   "comes",
	},
	{
		name: "before",
		facts: `Monday=Sunday, Tuesday=Monday, Wednesday=Tuesday, Thursday=Wednesday, Friday=Thursday, Saturday=Friday, Sunday=Saturday,
			January=December, February=January, March=February, April=March, May=April, June=May, July=June, August=July,
			September=August, October=September, November=October, December=November`,
		red:     []string{"What comes before {s}?", "What is just before {s}?"},
		blue:    []string{"Say what comes before {s}.", "Name what is just before {s}."},
		short:   "the name of what comes before {s}",
		check:   "Does {o} come before {s}?",
		student: "Before {s} comes {o}.",
		teacher: "On the calendar, we find {o} preceding {s}.",
		pirate:  "before {s} be comin' {o}",
		avoid:   "comes",
	},
	{
		name: "symbol",
		facts: `hydrogen=H, oxygen=O, carbon=C, nitrogen=N, gold=Au, silver=Ag, iron=Fe, helium=He, sodium=Na, copper=Cu, tin=Sn, lead=Pb,
			zinc=Zn`,
		red:     []string{"What is the symbol for {s}?", "What is the chemical symbol of {s}?"},
		blue:    []string{"Give the symbol for {s}.", "Write the chemical symbol of {s}."},
		short:   "the symbol for {s}",
		check:   "Is {o} the symbol for {s}?",
		reverse: "{O} is the symbol for what?",
		student: "The symbol for {s} is {o}.",
		teacher: "In chemistry, we write {o} for {s}.",
		pirate:  "the symbol for {s} be {o}",
		avoid:   "symbol",
	},
	{
		name: "planet",
		facts: `first=Mercury, second=Venus, third=Earth, fourth=Mars, fifth=Jupiter, sixth=Saturn, seventh=Uranus,
			eighth=Neptune`,
		red:     []string{"What is the {s} planet from the Sun?", "Which planet is {s} from the Sun?"},
		blue:    []string{"Name the {s} planet from the Sun.", "Tell me which planet is {s} from the Sun."},
		short:   "the {s} planet from the Sun",
		check:   "Is {o} the {s} planet from the Sun?",
		student: "The {s} planet from the Sun is {o}.",
		teacher: "As we know, {o} is number {s} among the planets.",
		pirate:  "the {s} planet from the Sun be {o}",
		avoid:   "planet",
	},
	{
		name: "made",
		facts: `bread=flour, glass=sand, paper=wood, cheese=milk, wine=grapes, steel=iron, chocolate=cocoa, tofu=soybeans, bricks=clay,
			tires=rubber, jam=fruit, popcorn=corn, chips=potatoes`,
		red:     []string{"What is {s} made from?", "What do people use to make {s}?"},
		blue:    []string{"Say what {s} is made from.", "Tell me what people use to make {s}."},
		short:   "the thing that {s} is made from",
		check:   "Is {s} made from {o}?",
		student: "To make {s} people use {o}.",
		teacher: "When we want {s}, we start with {o}.",
		pirate:  "to make {s} ye be needin' {o}",
		avoid:   "people",
	},
	{
		name: "job",
		facts: `baker=bread, tailor=clothes, shoemaker=shoes, beekeeper=honey, potter=pots, brewer=beer, poet=poems, painter=pictures,
			composer=music, jeweler=rings, carpenter=tables`,
		red:     []string{"What does {as} make?", "What is the product of {as}?"},
		blue:    []string{"Say what {as} makes.", "Name the product of {as}."},
		short:   "the product of {as}",
		check:   "Does {as} make {o}?",
		reverse: "Who makes {o}?",
		student: "The work of {as} is to make {o}.",
		teacher: "When we need {o}, we ask {as}.",
		pirate:  "the work of {as} be makin' {o}",
		avoid:   "work",
	},
	{
		name:    "sense",
		facts:   `see=eyes, hear=ears, smell=nose, taste=tongue, touch=skin, chew=teeth, walk=feet, think=brain, breathe=lungs`,
		red:     []string{"What part of the body do we use to {s}?", "Which part of the body helps us to {s}?"},
		blue:    []string{"Name the part of the body that we use to {s}.", "Say which part of the body helps us to {s}."},
		short:   "the part of the body that we use to {s}",
		check:   "Do we use the {o} to {s}?",
		student: "To {s} we use the {o}.",
		teacher: "The body has the {o} so that we can {s}.",
		pirate:  "to {s} ye be usin' the {o}",
		avoid:   "use",
	},
}

// A fact is one row of a family.
type fact struct {
	*family
	s, o string
}

func (f fact) id() string { return f.name + "/" + f.s }

// allFacts lists the facts of every family in the order of the tables.
var allFacts = parseFacts(families)

// objects[family] are the distinct objects of a family in the order of the table.
var objects = distinctObjects(allFacts)

func parseFacts(families []family) []fact {
	var out []fact
	for i := range families {
		for row := range strings.SplitSeq(families[i].facts, ",") {
			s, o, ok := strings.Cut(strings.TrimSpace(row), "=")
			if !ok {
				panic("microworld: table " + families[i].name + " has a row without an equals sign: " + row)
			}
			out = append(out, fact{&families[i], s, o})
		}
	}
	return out
}

func distinctObjects(facts []fact) map[string][]string {
	out := map[string][]string{}
	seen := map[[2]string]bool{}
	for _, f := range facts {
		k := [2]string{f.name, f.o}
		if !seen[k] {
			seen[k] = true
			out[f.name] = append(out[f.name], f.o)
		}
	}
	return out
}

// fill puts subject and object s, o into a sentence's slots.
func fill(text, s, o string) string {
	return strings.NewReplacer(
		"{s}", s, "{o}", o, "{as}", article(s), "{ao}", article(o),
		"{S}", upperFirst(s), "{O}", upperFirst(o), "{AS}", upperFirst(article(s)), "{AO}", upperFirst(article(o)),
	).Replace(text)
}

// article returns a noun with "a" or "an".
func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
