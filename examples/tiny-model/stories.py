"""A grammar that writes short children's stories.

A story has a small cast (hero, friend, elder), one place, one treasured
object and one food, chosen once and reused, so that names, pronouns, colours
and things stay consistent from the first sentence to the last.

Templates: [a|b|c] picks one alternative (they nest, and may be empty), {name}
inserts a value from the story. "a" becomes "an" where the next word needs it.
"""

import random
import re

GIRLS = """Lily Anna Mia Rosie Emma Lucy Ella Nora Clara Ruby Sophie Molly Daisy Grace Alice
Maya Zoe Ivy Hazel Lena Tilly Amy Nina Sara June Poppy Olive Flora Wren Bella""".split()
BOYS = """Tom Ben Max Sam Leo Jack Tim Finn Oscar Noah Theo Hugo Milo Peter Luke
Adam Henry Owen Felix Oliver Jonas Toby Will Eli Robin Charlie Nico Otto Arlo Jasper""".split()
SHE_ANIMALS = """Pippa Dot Luna Bonnie Cleo Fern Honey Maple Willow Pearl Tansy Misty
Penny Juniper Coco Minnie Hattie Dora Plum Winnie""".split()
HE_ANIMALS = """Pip Bruno Rusty Barnaby Biscuit Chester Moss Digby Pebble Rolo Bramble Ziggy
Monty Basil Waffles Gus Hopper Scout Wilbur Tucker""".split()
ELDERS_SHE = ["Grandma Rose", "Aunt Betty", "Mrs. Bell", "Old Martha", "Granny Oak"]
ELDERS_HE = ["Grandpa Joe", "Uncle Fred", "Mr. Green", "Old Walter", "Captain Bill"]

# species: where it lives
SPECIES = {
    "fox": "den", "rabbit": "burrow", "bear": "cave", "mouse": "hole", "owl": "nest", "duck": "nest",
    "frog": "pond", "hedgehog": "burrow", "squirrel": "tree house", "deer": "thicket", "turtle": "pond",
    "pig": "barn", "goat": "barn", "lamb": "barn", "puppy": "basket", "kitten": "basket", "cat": "cottage",
    "dog": "cottage", "penguin": "igloo", "otter": "den", "badger": "den", "pony": "stable", "robin": "nest",
    "mole": "tunnel", "raccoon": "tree house", "elephant": "grove", "monkey": "tree house", "lion": "cave",
}

# place: (preposition, spots in it, things seen there)
PLACES = {
    "forest": ("in", ["under a mossy log", "behind the old oak tree", "among the ferns", "beside the quiet stream"],
               ["tall trees", "red mushrooms", "a shy deer", "a busy woodpecker"]),
    "meadow": ("in", ["in the tall grass", "among the daisies", "behind a grey stone", "under a berry bush"],
               ["yellow butterflies", "wild flowers", "a tiny snail", "buzzing bees"]),
    "garden": ("in", ["behind the watering can", "under the apple tree", "between the roses", "beside the gate"],
               ["a fat green caterpillar", "orange pumpkins", "white roses", "a sleepy ladybug"]),
    "village": ("in", ["behind the bakery", "under the stone bridge", "beside the well", "near the market"],
                ["a man with a cart", "bright windows", "a row of clay pots", "a cat on a roof"]),
    "park": ("in", ["under the slide", "behind the swings", "near the pond", "under a long bench"],
             ["white ducks", "a boy on a bike", "tall fountains", "a dog with a stick"]),
    "farm": ("on", ["in the hay", "behind the red barn", "under the cart", "beside the hen house"],
             ["fluffy sheep", "a brown cow", "five yellow chicks", "a sleepy horse"]),
    "beach": ("on", ["behind the rocks", "in a sandy hole", "beside an old boat", "under some seaweed"],
              ["white gulls", "a tiny crab", "smooth shells", "a ship far away"]),
    "hill": ("on", ["behind a big rock", "under the pine tree", "inside a hollow log", "beside the fence"],
             ["soft clouds", "an eagle", "the roofs of the town", "purple flowers"]),
    "valley": ("in", ["near the waterfall", "under a willow tree", "behind the windmill", "on a sandy path"],
               ["a silver river", "green fields", "a flock of birds", "an old stone wall"]),
    "island": ("on", ["under a palm tree", "in a small cave", "beside the blue lagoon", "behind the dunes"],
               ["green parrots", "a slow turtle", "jumping fish", "a long white beach"]),
}

COLORS = "red blue green yellow purple orange white silver golden pink brown shiny striped tiny".split()
THINGS = """ball kite hat scarf drum bell boat wagon book lantern flute blanket basket teddy_bear button
shell ribbon cup umbrella whistle coat mirror feather ring paint_box""".split()
FOODS = """apple pie,honey cakes,carrot soup,warm bread,blueberry muffins,oat cookies,cherry tarts,cheese sandwiches,
sweet plums,pancakes,strawberries,nuts,roasted corn,pumpkin soup,jam rolls,ripe pears""".replace("\n", "").split(",")
TRAITS = "kind curious shy brave silly quiet gentle clever cheerful proud careful playful lazy patient".split()
HOBBIES = """to sing,to dance,to paint pictures,to climb trees,to count the stars,to read books,to play hide and seek,
to splash in puddles,to collect stones,to tell jokes,to pick flowers,to watch the clouds,to bake,to run very fast,
to build things,to listen to stories""".replace("\n", "").split(",")


def expand(template, rng):
    """Replaces the innermost [a|b] groups until none is left."""
    group = re.compile(r"\[([^\[\]]*)\]")
    while True:
        template, count = group.subn(lambda m: rng.choice(m.group(1).split("|")), template)
        if not count:
            return template


def tidy(text):
    """Single spaces, right articles, a capital at the start of every sentence."""
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    text = re.sub(r'(^"?|(?<!Mr)(?<!Mrs)[.!?] )([a-z])', lambda m: m.group(1) + m.group(2).upper(), text)
    return text


class Story:
    def __init__(self, rng):
        self.rng = rng
        self.lines = []
        self.v = {}  # what {names} in templates stand for: h hero, f friend, g elder, o object, ...
        she = rng.random() < 0.5
        self._person("", she)
        self._person("f", not she)
        while self.v["fkind"] == self.v["kind"] or self.v["f"] == self.v["h"]:
            self._person("f", not she)
        self._elder(rng.random() < 0.5)
        self.v["place"] = rng.choice(list(PLACES))
        preposition, spots, seen = PLACES[self.v["place"]]
        self.v["at"] = f"{preposition} the {self.v['place']}"
        human = self.v["kind"] in ("boy", "girl")
        self.v["live"] = f"near the {self.v['place']}" if human else self.v["at"]
        self.v["s1"], self.v["s2"], self.v["s3"] = rng.sample(spots, 3)
        self.v["see1"], self.v["see2"] = rng.sample(seen, 2)
        self.v["thing"], self.v["thing2"] = [t.replace("_", " ") for t in rng.sample(THINGS, 2)]
        color, color2 = rng.sample(COLORS, 2)
        self.v["o"], self.v["o2"] = f"{color} {self.v['thing']}", f"{color2} {self.v['thing2']}"
        self.v["color"] = rng.choice("red blue yellow purple orange white pink".split())
        self.v["food"] = rng.choice(FOODS)
        self.v["hobby"] = rng.choice(HOBBIES)
        self.v["trait"], self.v["ftrait"] = rng.sample(TRAITS, 2)

    def _pronouns(self, prefix, she):
        forms = ("she", "her", "her", "herself") if she else ("he", "him", "his", "himself")
        for key, word in zip(("he", "him", "his", "self"), forms):
            self.v[prefix + key] = word

    def _person(self, prefix, she):
        """The hero (prefix "") or the friend (prefix "f"): a child or an animal."""
        rng = self.rng
        if rng.random() < 0.4:
            kind, home, names = ("girl" if she else "boy"), "house", (GIRLS if she else BOYS)
        else:
            kind = rng.choice(list(SPECIES))
            home = SPECIES[kind]
            names = (SHE_ANIMALS if she else HE_ANIMALS) + (GIRLS if she else BOYS)[:10]
        self.v[prefix or "h"] = rng.choice(names)
        self.v[prefix + "kind"], self.v[prefix + "home"] = kind, home
        name = self.v[prefix or "h"]
        self.v[(prefix or "h") + "the"] = name if home == "house" else f"{name} the {kind}"
        self._pronouns(prefix, she)

    def _elder(self, she):
        rng, v = self.rng, self.v
        roll = rng.random()
        if roll < 0.4:
            v["g"] = v["his"] + (" mother" if she else " father")
            v["g_intro"] = v["g"]
        elif roll < 0.7:
            v["g"] = rng.choice(ELDERS_SHE if she else ELDERS_HE)
            v["g_intro"] = v["g"]
        else:
            kind = rng.choice([k for k in ("owl", "turtle", "badger", "goat", "crow", "horse", "toad")
                               if k not in (v["kind"], v["fkind"])])
            v["g"], v["g_intro"] = f"the old {kind}", f"a wise old {kind}"
        self._pronouns("g", she)

    def say(self, *templates, chance=1.0, **extra):
        """Adds one of the templates, or with probability 1 - chance nothing."""
        if self.rng.random() >= chance:
            return
        text = expand(self.rng.choice(templates), self.rng)
        self.lines.append(tidy(text.format(**{**self.v, **extra})))

    def pick(self, *options):
        return self.rng.choice(options)

    def text(self):
        return " ".join(self.lines)


# ---------------------------------------------------------------- openings

def opening(s):
    adj = s.pick("little", "little", "little", "young", "small", s.v["trait"], s.v["trait"] + " little")
    s.say(
        "Once upon a time, there was a {adj} {kind} named {h}.",
        "Once upon a time, there was a {adj} {kind} named {h} who lived [{live}|in a {home} near the {place}].",
        "Once upon a time, a {adj} {kind} named {h} lived {live}.",
        "Once upon a time, {live}, there lived a {adj} {kind} [named|called] {h}.",
        "Once upon a time, there lived a {adj} {kind}. {his} name was {h}.",
        "There was a {adj} {kind} named {h}[| who loved {hobby}| who lived {live}].",
        "There was once a {adj} {kind} named {h}. {he} lived {live}.",
        "One day, a {adj} {kind} named {h} was [playing|walking|sitting] {at}.",
        "One [sunny|warm|quiet|windy] [day|morning], a {adj} {kind} named {h} [woke up early|was walking {at}].",
        "[Long ago|A long time ago], a {adj} {kind} named {h} lived {live}.",
        "{h} was a {adj} {kind} who [lived {live}|loved {hobby}|lived near the {place}].",
        "A {adj} {kind} named {h} lived {live}.",
        "The little {kind} was called {h}, and {he} lived {live}.",
        "{hthe} lived [{live}|in a cozy {home} near the {place}].",
        "In a [small|cozy|quiet] {home} near the {place}, there lived a {adj} {kind} named {h}.",
        "It was a [sunny|rainy|cold|bright|windy] [day|morning] {at}. A {adj} {kind} named {h} was [awake|outside|very busy].",
        adj=adj,
    )
    s.say("{he} loved {hobby}[| more than anything| every day].",
          "{he} was [always full of ideas|always in a good mood|never bored], and everyone liked {him}.",
          "{his} favorite food was {food}.",
          "Every [morning|evening], {h} liked {hobby}.",
          "{he} had [soft|bright|big] [brown|green|blue|dark] eyes and a [happy|kind|shy] smile.", chance=0.6)


def day(s):
    """Moves from the introduction to the event."""
    s.say("One [day|morning|afternoon|sunny day|quiet morning|windy day],",
          "One [day|morning|afternoon],", "[That|One bright] [morning|day],",
          "On a [warm|cold|bright|cloudy] [day|morning|afternoon],", "Early one morning,")


def friend(s):
    s.say("{his} best friend was a {ftrait} {fkind} named {f}.",
          "{h} had a [good|dear|close] friend named {f}, a {ftrait} {fkind}.",
          "{he} often played with {f}, [the|a] {ftrait} {fkind} [who lived nearby|from the other side of the {place}].",
          "{fthe} was {his} best friend.")


def joined(s, clause):
    """Adds a clause after a day() phrase as one sentence."""
    day(s)
    start = s.lines.pop()
    s.say(start + " " + clause)


def sights(s):
    s.say("On the way, {he} saw {see1} and {see2}.", "{he} walked past {see1}[ and {see2}|].",
          "The [sun was warm|wind was soft|sky was blue] and the birds were singing.",
          "{he} [hummed a little song|took a deep breath] and looked at {see1}.", chance=0.5)


def sad(s):
    s.say("{h} felt very sad.", "{h} [began to cry|wanted to cry].", "A tear rolled down {his} [cheek|nose].",
          "{h} sat down and [sighed|cried].", "{his} heart felt heavy.")


def happy(s, both=True):
    if both:
        s.say("They [laughed and danced|smiled at each other|hugged|cheered|jumped up and down].",
              "{h} and {f} [laughed together|were very happy|smiled|hugged each other|danced with joy].",
              "{h} was so happy that {he} [hugged {f}|danced in a circle|began to sing].")
    else:
        s.say("{h} [was very happy|felt proud|smiled from ear to ear|jumped for joy|laughed out loud].",
              "{h} was so happy that {he} [danced in a circle|began to sing|clapped {his} hands].")


def ending(s, *morals):
    s.say(*morals, chance=0.75)
    s.say(
        "From that day on, {h} and {f} [were best friends|played together every day|shared everything|always helped each other].",
        "That night, {h} [went to sleep with a smile|slept very well|dreamed of {see1}|looked at the stars and smiled].",
        "Then they [went home|walked home together] and ate {food}.",
        "When the sun went down, they [went home|said good night|walked home hand in hand].",
        "They [ate {food} and laughed|sat by the fire and told stories] until [bedtime|the moon came up].",
        "And they all lived happily ever after.",
        "It was the best day [of the year|ever|of {his} life].",
        "{h} never forgot that day.",
        "The end.",
    )


# ---------------------------------------------------------------- plots

def lost_thing(s):
    s.say("{he} had a {o} [that {he} loved very much|from {his} grandmother|and took it everywhere].",
          "{his} favorite thing was a {o}.")
    friend_first = s.rng.random() < 0.4
    if friend_first:
        friend(s)
    joined(s, "[the {thing} was gone|{h} could not find the {thing}|{h} lost the {thing} {at}].")
    s.say("\"Where is my {thing}?\" [{he} cried|{he} asked|cried {h}].",
          "\"Oh no! My {thing} is gone!\" [said {h}|cried {h}|{he} said].")
    s.say("{he} looked {s1}, but it was not there.", "First, {he} looked {s1}. There was no {thing}.",
          "{h} searched {s1}, but {he} found only [a stone|dry leaves|a sleepy snail].")
    sad(s)
    if friend_first:
        s.say("{f} came [along|by|running] and asked, \"What is wrong, {h}?\"",
              "Then {f} saw {him} and asked, \"Why are you sad?\"")
    else:
        s.say("Just then, a {fkind} named {f} came by. \"[What is wrong|Why are you sad]?\" asked {f}.",
              "A {ftrait} {fkind} named {f} heard {him}. \"Can I help you?\" {fhe} asked.")
    s.say("\"I lost my {thing},\" said {h}.",
          "\"I cannot find my {o},\" {he} said.",
          "{h} told {fhim} about the {thing}.")
    s.say("\"Do not worry,\" said {f}. \"[We will find it together|I will help you look].\"",
          "\"Let us look together,\" {fhe} said.")
    s.say("They looked {s2}. Nothing! [Then|At last] they looked {s3}.",
          "Together they searched {s2} and then {s3}.")
    s.say("There it was! The {o} was [safe|right there|a little dirty, but safe].",
          "\"Look!\" [cried|shouted] {f}. There was the {thing}!",
          "And there, {s3}, was the {o}!")
    s.say("\"Thank you, {f}!\" said {h}.",
          "\"You found it! You are a true friend,\" said {h}.",
          "\"Thank you for helping me,\" {he} said.")
    happy(s)
    ending(s, "{h} learned that [a friend makes every problem smaller|it is good to ask for help].",
           "After that, {h} [always kept the {thing} in a safe place|took good care of the {thing}].")


def sharing(s):
    joined(s, "[{g_intro} gave {him}|{h} found a basket with|{h} packed] some {food}.")
    s.say("{he} wanted to eat [them all|everything] alone.",
          "\"This is all for me,\" {he} [thought|said to {self}].")
    s.say("Then a {fkind} named {f} came by. {fhe} looked [hungry|tired and hungry|thin and cold].",
          "Soon {f}, a {ftrait} {fkind}, walked by. \"I am so hungry,\" {fhe} said.")
    s.say("\"May I have [some|a little|one bite], please?\" asked {f}.",
          "\"That smells so good,\" said {f}. \"Can we share?\"")
    s.say("\"No,\" said {h}. \"It is mine.\"", "{h} shook {his} head and [turned away|said nothing].")
    s.say("{f} [looked down|felt sad] and walked away.", "{f} said nothing and sat {s1}.")
    s.say("{h} took a bite, but the food did not taste good.",
          "{h} began to eat, but {he} felt [lonely|bad] inside.")
    s.say("{he} thought about {f} and [felt sorry|felt ashamed].",
          "\"{f} is hungry, and I have so much,\" {he} thought.")
    s.say("So {he} ran after {f}. \"[Wait|Please wait]!\" {he} called. \"[I am sorry|I was wrong]. Let us share.\"",
          "{h} went to {f} and said, \"I am sorry. [Please eat with me|Half of this is for you].\"")
    s.say("They sat {s2} and ate together.",
          "They ate the {food} {s2}, and {f} told [funny stories|a good joke].")
    s.say("Now the food tasted [better than before|wonderful].",
          "\"[It tastes better|Everything is better] with a friend,\" said {h}.")
    happy(s)
    ending(s, "{h} learned that sharing [makes everyone happy|is better than keeping].", "Now {h} always shares {his} food.")


def new_friend(s):
    s.say("But {h} was lonely. {he} had no one to play with.",
          "{he} wanted a friend [more than anything|very much].")
    joined(s, "{he} went [for a walk|out to look for a friend] {at}.")
    sights(s)
    s.say("{he} asked [a bee|a squirrel|a butterfly], \"Will you play with me?\" But [the answer was no|it was too busy].",
          chance=0.6)
    s.say("Then {he} heard a small voice {s1}.", "Suddenly {he} saw someone {s1}.")
    s.say("It was a {fkind} with a {o}.", "A {ftrait} {fkind} was sitting there with a {o}.")
    s.say("\"Hello, I am {h}. What is your name?\" {he} asked.",
          "\"Hi! My name is {h},\" said {h}. \"Who are you?\"")
    s.say("\"I am {f},\" said the {fkind}. \"I am new here.\"",
          "\"My name is {f},\" the {fkind} [said|answered] with a shy smile.")
    s.say("\"Do you want to play?\" asked {h}.", "\"Can I play with you?\" {he} asked.")
    s.say("\"Yes, please!\" said {f}.", "{f} nodded and [smiled|held out the {thing}].")
    s.say("They played with the {thing} all [day|afternoon|morning].",
          "They ran, jumped and played with the {thing} until [sunset|it was dark].")
    s.say("Then {h} shared some {food} with {f}.",
          "\"You can visit me in my {home} tomorrow,\" said {h}.",
          chance=0.7)
    happy(s)
    ending(s, "{h} was not lonely [anymore|any longer].", "\"Now we [both have a friend|have each other],\" said {f}.")


def strange_noise(s):
    joined(s, "{h} heard a strange noise {s1}.")
    sound = s.pick("bump", "scratch", "tap", "squeak", "rustle", "hoo")
    s.say("\"{S}, {x}, {x}!\" it went.", "It went {x}, {x}, {x}.", x=sound, S=sound.capitalize())
    s.say("{h} was [afraid|scared]. {his} knees were shaking.",
          "{h} hid [under a blanket|behind a chair]. {he} was very scared.")
    s.say("\"Is it a monster?\" {he} [whispered|asked].", "\"What could it be?\" {he} whispered.")
    s.say("{he} ran to {f}, {his} friend.", "{he} called {his} friend {f}, a {ftrait} {fkind}.")
    s.say("\"I heard a monster!\" said {h}.", "\"There is something {s1},\" said {h}.")
    s.say("\"Let us go and see,\" said {f}. \"I will [hold your hand|stay with you].\"",
          "\"We can be brave together,\" {fhe} said.")
    s.say("They took a lantern and walked [slowly|very quietly].", "Step by step, they went closer.")
    s.say("{x}, {x}, {x}! The noise was very near.",
          "The noise grew louder and louder.",
          x=sound.capitalize(), chance=0.6)
    thing = s.pick("kitten", "baby bird", "branch in the wind", "little mouse with a nut", "frog in a bucket", "puppy that wanted to play")
    s.say("{f} held up the light. It was only a {t}!", "{h} looked closer. It was just a {t}!", t=thing)
    if "branch" not in thing:
        s.say("\"It is [lost|hungry|cold],\" said {h}. [They gave it some food and a warm blanket|So they took care of it].",
              "\"Hello, little one,\" said {h}. \"You gave us a fright!\"")
    else:
        s.say("\"The wind was playing a trick on us!\" said {h}.")
    s.say("They laughed and laughed.", "{h} laughed. \"I was afraid of nothing,\" {he} said.")
    ending(s, "{h} learned that [things are not always scary when you look at them|being brave is easier with a friend].",
           "After that, {h} was not afraid of the dark.")


def rescue(s):
    s.say("{he} always carried a {o}.", "{he} had a [long rope|strong rope] in {his} bag.", chance=0.3)
    joined(s, "{h} was walking {at}.")
    sights(s)
    s.say("Suddenly, {he} heard a cry. \"Help! Help!\"", "Then someone called, \"Please help me!\"")
    s.say("A {fkind} named {f} was stuck in [a deep hole|the mud|a thorny bush].",
          "It was {f}, a little {fkind}. {fhe} was [stuck in the mud|caught in a net|stuck in a deep hole].")
    s.say("\"I cannot get out,\" said {f}. {fhe} was [crying|very tired|afraid].",
          "{f} was [cold and afraid|too tired to move].")
    s.say("\"Do not be afraid,\" said {h}. \"I will help you.\"",
          "\"Stay calm,\" {he} said. \"I have an idea.\"")
    s.say("{h} pulled and pulled, but it was too hard.",
          "First {he} tried alone, but {he} was not strong enough.",
          chance=0.7)
    s.say("So {he} found [a long stick|a strong rope|a long vine]. \"Hold on tight!\" {he} [said|called].",
          "Then {he} ran to get {g}. [Together they pulled|They all pulled together].")
    s.say("One, two, three! {f} was free.",
          "At last, {f} came out with a pop!",
          "They pulled one more time, and {f} was free!")
    s.say("\"Thank you, {h}! You saved me,\" said {f}.",
          "\"You are so brave,\" said {f}. \"How can I thank you?\"")
    s.say("{f} gave {him} a {o2} as a gift.",
          "To say thank you, {f} [shared some {food}|gave {him} a {o2}].",
          "\"Just be my friend,\" said {h}.")
    happy(s)
    ending(s, "Everyone {at} heard how kind and brave {h} was.", "{h} learned that even someone small can do big things.")


def building(s):
    thing = s.pick("tree house", "boat", "sand castle", "snowman", "bridge", "little cart", "bird house", "tower")
    friend(s)
    joined(s, "{h} had [an idea|a big idea]. \"Let us build a " + thing + "!\" {he} said.")
    s.say("\"What a great idea!\" said {f}.", "{f} clapped. \"Yes! I will help,\" {fhe} said.")
    part = "snow" if thing == "snowman" else "sand" if thing == "sand castle" else s.pick("wood", "sticks", "old boards")
    s.say("They found {p} {s1} and worked [all morning|for hours].",
          "{h} carried {p}, and {f} [made a plan|held everything in place].",
          p=part)
    s.say("But then [the wind blew hard|it began to rain|{h} tripped], and the {t} fell [down|apart].",
          t=thing)
    s.say("\"Oh no! All our work is gone,\" said {h}.", "{h} was [angry|sad]. \"I give up,\" {he} said.")
    s.say("\"Let us try again,\" said {f}. \"[This time we will make it stronger|We know more now].\"",
          "\"Do not give up,\" said {f}. \"We can do it.\"")
    s.say("They asked {g_intro} for [help|advice]. \"[Go slowly|Start with a strong base],\" said {g}.",
          chance=0.5)
    s.say("So they worked again, slowly and carefully.",
          "This time, they [took their time|helped each other].")
    s.say("At last, the {t} was ready. It was [big and strong|beautiful|the best {t} {at}].",
          "When the sun went down, the {t} was done.",
          t=thing)
    s.say("They put {his} {o} on top.", "They put a {color} flower on it.", chance=0.5)
    happy(s)
    ending(s, "They learned that [you must not give up|good things take time|hard work is fun with a friend].")


def birthday(s):
    friend(s)
    s.say("Today was {h}'s birthday. {he} woke up [early|with a smile].",
          "It was {h}'s birthday, and {he} was very excited.")
    s.say("But no one said, \"Happy birthday.\"", "{he} waited and waited, but no one came.")
    s.say("{he} went to see {f}. \"Sorry, I am busy today,\" said {f}.",
          "\"Do you know what day it is?\" {he} asked {f}. \"No,\" said {f}, and {fhe} hurried away.")
    s.say("Even {g} had no time for {him}.", "Then {he} went to {g}, but {ghe} was busy too.", chance=0.7)
    sad(s)
    s.say("\"Everyone forgot my birthday,\" {he} [thought|whispered].")
    s.say("Slowly, {he} walked [home|back to {his} {home}].", "When it was almost dark, {he} went home.")
    s.say("{he} opened the door. \"Surprise!\" everyone shouted.",
          "Suddenly, all the lights came on. \"Surprise! Happy birthday!\"")
    s.say("There were {color} balloons, {food} and [a big cake|lots of candles].",
          "{f} had made [a big cake|{food}], and there were {color} balloons everywhere.")
    s.say("\"We did not forget you,\" said {f}. \"We wanted to surprise you.\"",
          "\"We planned this all week,\" said {f} [with a smile|and laughed].")
    s.say("{f} gave {him} a {o}. \"[I love it|It is perfect]!\" said {h}.",
          "{h} opened a box. Inside was a {o}!")
    s.say("They sang and danced until late.", "They played games and ate until they were full.")
    ending(s, "{h} knew that {he} had the best friends in the world.", "\"Thank you, everyone,\" said {h}. \"I am so lucky.\"")


def race(s):
    s.say("{h} was very fast and wanted to win every race.", "{he} loved to run and was very proud of it.")
    joined(s, "there was a big race {at}. The prize was a {o}.")
    s.say("{f}, a {ftrait} {fkind}, wanted to win too.", "A {fkind} named {f} came to run too.")
    s.say("\"I will win,\" said {h}. \"[No one is as fast as me|Just watch me].\"",
          "\"Good luck,\" said {f}. \"You will need it,\" said {h}.")
    s.say("\"Ready, set, go!\" shouted {g}.", "{g} blew a whistle, and the race began.")
    s.say("{h} ran like the wind. Soon {he} was first.", "At first, {f} was ahead. Then {h} ran past {fhim}.")
    s.say("But then {he} heard a cry. {f} had [fallen over a stone|hurt {fhis} foot].",
          "Suddenly, {f} [slipped and fell|tripped over a root]. \"Ouch!\" {fhe} cried.")
    s.say("{h} looked at the finish line. Then {he} looked at {f}.",
          "{h} stopped. The finish line was so close!")
    s.say("{he} turned around and ran back. \"Are you all right?\" {he} asked.",
          "\"A friend is more important than a prize,\" {he} thought, and {he} went back.")
    s.say("{h} helped {f} to stand up, and they walked to the end together.",
          "{f} leaned on {h}, and step by step they crossed the line.")
    s.say("Everyone clapped and cheered.", "The crowd cheered louder than ever.")
    s.say("\"You both win,\" said {g}, and {ghe} gave them the {thing}.",
          "{g} smiled. \"The {thing} is for both of you,\" {ghe} said.")
    ending(s, "{h} learned that [being kind is better than being first|helping is a kind of winning].")


def lost_child(s):
    joined(s, "{he} went for a walk {at} to [look for berries|play|pick flowers|look for shells].")
    s.say("\"Do not go too far,\" said {g}.", chance=0.6)
    sights(s)
    s.say("{h} followed a {color} butterfly, farther and farther.",
          "{he} walked and walked and did not look back.")
    s.say("When {he} looked around, {he} did not know where {he} was.",
          "Soon the sky grew dark, and {he} could not find the path.")
    s.say("\"I am lost,\" [said|whispered|cried] {h}.",
          "\"Which way is home?\" {he} asked, but no one answered.")
    sad(s)
    s.say("Then a {fkind} came out from {x}. \"Who is crying?\" {fhe} asked.",
          "A {ftrait} {fkind} named {f} heard {him} and came closer.",
          x="the shadows")
    if "named" not in s.lines[-1]:
        s.say("\"My name is {f},\" {fhe} said. \"Are you lost?\"")
    s.say("\"I want to go home, but I do not know the way,\" said {h}.",
          "\"Yes, I am lost,\" said {h}. \"Can you help me?\"")
    s.say("\"I know every path {at},\" said {f}. \"Come with me.\"",
          "\"Follow me,\" said {f}. \"I will show you the way.\"")
    s.say("They walked past {see1} and {see2}.",
          "The moon was bright, and {f} [sang a song|told a story] so that {h} would not be afraid.")
    s.say("At last, {h} saw {his} {home}. [A light was on in the window|Someone was waiting there].",
          "Soon they saw a light. It was {his} {home}!")
    s.say("{g} ran out and hugged {him}. \"I was so worried,\" {ghe} said.",
          "\"You are home!\" cried {g}. {ghe} gave them both some {food}.")
    s.say("\"Thank you, {f},\" said {h}. \"You are my hero.\"", "{h} hugged {f} and thanked {fhim}.")
    ending(s, "{h} promised [never to go so far alone again|to listen next time].")


def key_and_box(s):
    joined(s, "{h} found a [small|rusty|golden|silver|strange] key {s1}.")
    s.say("\"What does it open?\" {he} [wondered|asked].",
          "\"I must find out what this key is for,\" {he} said.")
    s.say("{he} showed it to {f}, {his} friend.",
          "{he} ran to {f}, a {ftrait} {fkind}, and showed {fhim} the key.")
    s.say("\"[Maybe it opens a secret door|Maybe it is for a treasure]!\" said {f}.",
          "\"How exciting!\" said {f}. \"Let us find out.\"")
    s.say("They tried the key in [a garden gate|an old cupboard|a big door], but it did not fit.",
          "First they tried [a gate|a blue door]. No, it did not turn.")
    s.say("They asked {g_intro}. \"[Look|You should look] {s2},\" said {g}.",
          "{g} saw the key and smiled. \"I think you should look {s2},\" {ghe} said.")
    s.say("So they went there and [dug a hole|looked everywhere].",
          "They hurried there as fast as they could.")
    s.say("They found an old box. {h} put the key in, and click! It opened.",
          "There was a dusty box! The key turned, and the box opened.")
    s.say("Inside was a {o} and a letter.", "Inside, they found a {o}. Under it was a letter.")
    s.say("The letter said, \"[Share this with a friend|This is for those who never stop looking|The best treasure is a good friend].\"")
    s.say("\"This {thing} is for both of us,\" said {h}.", "{h} and {f} played with the {thing} all day.")
    happy(s)
    ending(s, "They never found out who had hidden the box.", "{h} kept the key as a [lucky charm|sweet memory].")


def seed(s):
    joined(s, "{g_intro} gave {h} a [tiny|small|strange] seed.")
    s.say("\"Plant it and wait,\" said {g}.", "\"Take care of it, and you will see,\" {ghe} said.")
    s.say("{h} planted the seed {s1} and gave it water.",
          "{he} dug a hole {s1}, put the seed in and watered it.")
    s.say("The next day, {he} looked, but nothing was there.",
          "{he} waited one day, two days, three days. Nothing happened.")
    s.say("\"Why does it not grow?\" {he} asked {f}, {his} friend.",
          "\"It will never grow,\" {he} said to {his} friend {f}.")
    s.say("\"Be patient,\" said {f}. \"[Good things need time|Seeds are slow].\"",
          "\"Wait a little more,\" said {f}. \"I will help you water it.\"")
    s.say("So every morning, {h} [gave it water|sang to the seed].",
          "Every day, they gave it water, and {f} told it [jokes|stories].")
    s.say("Then one morning, a small green leaf came out of the ground.", "At last, something green came up!")
    grown = s.pick(("a tall {color} flower", "flower"), ("a huge sunflower", "sunflower"), ("a little apple tree", "tree"), ("a big orange pumpkin", "pumpkin"))
    s.say("It grew and grew, until it was {a}.",
          "Day by day it grew. It became {a}!",
          a=grown[0].format(**s.v))
    s.say("\"It is so beautiful!\" said {h}.",
          "\"Look what we made!\" {he} cried.",
          "Everyone came to see the {p}.",
          p=grown[1])
    happy(s)
    ending(s, "{h} learned to [wait|be patient].", "\"You were right,\" {h} told {g}. \"It was good to wait.\"")


def broken(s):
    item = s.pick("cup", "vase", "window", "clock", "bowl", "lamp")
    joined(s, "{h} was playing with a {o} inside.")
    s.say("\"Be careful,\" said {g}, but {h} did not listen.", "{he} ran around and around.", chance=0.7)
    if item == "window":
        s.say("Crash! The window broke.")
    else:
        s.say("Crash! {he} broke [the|a] {color} {i}.",
              "Suddenly, crash! The {color} {i} fell and broke.",
              i=item)
    s.say("\"Oh no!\" {he} whispered. {he} was afraid.", "{h} felt terrible. {his} face turned red.")
    s.say("{he} [hid the pieces|wanted to hide] {x}.",
          "\"Maybe nobody will see it,\" {he} thought.",
          x=s.pick("under the bed",
          "behind the curtain"))
    s.say("{his} friend {f}, a {ftrait} {fkind}, saw it all.",
          "Then {fthe} came in and saw what had happened.")
    s.say("\"You should tell the truth,\" said {f}. \"I will go with you.\"",
          "\"It was an accident,\" {fhe} said. \"Just say you are sorry.\"")
    s.say("{h} took a deep breath and went to {g}.", "So {h} went to {g} with a heavy heart.")
    s.say("\"I broke the {i},\" {he} said. \"I am [very|so] sorry.\"", i=item)
    s.say("{g} [was quiet for a moment|looked at {him}]. Then {ghe} smiled.",
          "At first, {g} frowned. Then {ghe} hugged {him}.")
    s.say("\"Thank you for telling me the truth,\" {ghe} said.",
          "\"A {i} can be fixed,\" {ghe} said. \"I am glad you were honest.\"",
          i=item)
    s.say("They fixed it together with glue.", "Together they cleaned the floor and then ate {food}.")
    ending(s, "{h} learned that [telling the truth is always best|the truth is not so scary].", "{h} felt much lighter.")


def learning(s):
    skill, past = s.pick(("swim", "swam"), ("ride a bike", "rode the bike"), ("whistle", "whistled a tune"),
                         ("skate", "skated on the ice"), ("dance", "danced"), ("jump over the stream", "jumped over the stream"),
                         ("play the flute", "played a song on the flute"), ("juggle", "juggled three apples"))
    s.say("{h} wanted to learn to {k}, but {he} did not know how.",
          "All {his} friends could {k}, but {h} could not.",
          k=skill)
    joined(s, "{he} went to {f}, a {ftrait} {fkind}. \"Can you teach me to " + skill + "?\" {he} asked.")
    s.say("\"Of course,\" said {f}. \"[It is easy if you try|But you must practice].\"",
          "{f} smiled. \"Yes, but you must be patient,\" {fhe} said.")
    s.say("{h} tried, but {he} [fell down|could not do it].",
          "The first time was very [bad|funny]. {h} [fell over|fell on {his} nose].")
    s.say("Some others laughed at {him}.",
          "\"I will never learn,\" said {h}.",
          "\"It is too hard,\" {he} said and [sighed|kicked a stone].")
    s.say("\"I fell many times too,\" said {f}. \"Try again.\"",
          "\"Everyone starts small,\" said {f}. \"I believe in you.\"")
    s.say("So {h} practiced every day, [in the sun and in the rain|in the morning and in the evening].",
          "{he} tried again and again, [for a week|for many days].")
    s.say("Then one day, {he} {p}!", "And at last, {h} {p}! {he} could not believe it.", p=past)
    s.say("\"I did it! I did it!\" {he} [shouted|sang].", "\"Look at me, {f}!\" {he} [called|cried].")
    s.say("{f} clapped. \"I knew you could do it,\" {fhe} said.", "{f} was very proud of {him}.")
    ending(s, "{h} learned that practice [makes everything easier|is the secret].", "Soon {h} was teaching others [too|how to do it].")


def picnic(s):
    friend(s)
    joined(s, "{h} and {f} wanted to have a picnic {at}.")
    s.say("{h} packed {food}, and {f} brought a {o}.", "They put {food} in a basket and took the {o}.")
    s.say("They sat {s1} and began to eat.", "They found a nice place {s1}.")
    s.say("But then, dark clouds came, and it began to rain.",
          "Suddenly, drip, drop! Rain fell on {his} nose.")
    s.say("\"Our picnic is ruined,\" said {h}.", "\"Everything will get wet!\" cried {h}.")
    s.say("\"Quick, let us run!\" said {f}. They ran [to a cave|to an old barn|under a big tree].",
          "They grabbed the basket and ran [to a small hut|to a cave].")
    s.say("Someone was there already. It was {g_intro}.",
          "Inside, they met {g}, who was waiting for the rain to stop.")
    s.say("\"Come in, there is room for all of us,\" said {g}.", "\"Sit down and get dry,\" {ghe} said.")
    s.say("They shared the {food}, and {g} told a [long|funny|wonderful] story.",
          "So the three of them ate {food} and sang songs.")
    s.say("Soon the rain stopped, and there was a rainbow in the sky.",
          "When the sun came out, they saw a big rainbow.")
    s.say("\"This was the best picnic ever,\" said {f}.", "\"I am glad it rained,\" said {h}. {he} laughed.")
    ending(s, "They learned that [a rainy day can be a good day|there is fun in every kind of weather].")


def baby_bird(s):
    joined(s, "{h} found a [baby bird|little bird] {s1}.")
    s.say("\"Peep, peep,\" said the bird. It had fallen from its nest.",
          "The bird was small and cold, and it [could not fly|had a hurt wing].")
    s.say("\"Poor little bird,\" said {h}. \"I will help you.\"", "\"Do not be afraid,\" {he} whispered.")
    s.say("{he} put it in a soft {color} hat.", "{he} held it gently in {his} hands.")
    s.say("{he} went to {f}, a {ftrait} {fkind}. \"What does a bird eat?\" {he} asked.",
          "{f}, {his} friend, came to look. \"It needs food and rest,\" {fhe} said.")
    s.say("They gave it water and [seeds|crumbs|berries].", "{f} brought some crumbs, and {h} gave it water.")
    s.say("For [three days|a week], they took care of the bird.", "Every day, the bird grew stronger.")
    s.say("One morning, it moved its wings and flew up into the sky.",
          "Then it was time to say goodbye. The bird flew high.")
    s.say("{h} was happy and sad at the same time.",
          "\"I will miss you,\" said {h}.",
          "\"Goodbye, little bird!\" called {h}.")
    s.say("But the next [day|spring], the bird came back and sang {s2}.",
          "The next day, it came back with a {color} flower in its beak.")
    happy(s)
    ending(s, "{h} learned that [small acts of kindness matter|if you love something, you let it be free].")


def trade(s):
    s.say("{he} had a {o}, but {he} [was tired of it|wanted something new].")
    joined(s, "{he} took the {thing} to the market.")
    s.say("There {he} met {f}, a {ftrait} {fkind} with a {o2}.", "A {fkind} named {f} was there with a {o2}.")
    s.say("\"What a nice {thing2}!\" said {h}. \"Can we trade?\"",
          "\"I will give you my {thing} for your {thing2},\" said {h}.")
    s.say("\"Yes,\" said {f}. \"I always wanted a {thing}.\"",
          "{f} looked at the {thing} and nodded. \"Good,\" {fhe} said.")
    s.say("So {h} took the {thing2}, and {f} took the {thing}.",
          "They shook hands, and {h} went home with the {thing2}.")
    s.say("But that night, {h} missed {his} {thing}.",
          "At home, {h} looked at the {thing2}. It was nice, but it was not {his} {thing}.")
    s.say("\"I made a mistake,\" {he} [thought|said to {g}].", "\"I want my {thing} back,\" {he} said sadly.")
    s.say("The next morning, {he} went to find {f}.", "Early the next day, {he} ran to see {f}.")
    s.say("{f} was already on the way. \"I missed my {thing2},\" {fhe} said.",
          "\"Can I have my {thing2} back?\" asked {f}. \"I miss it so much.\"")
    s.say("They both laughed and traded back.",
          "{h} laughed. \"And I missed my {thing},\" {he} said. So they traded again.")
    s.say("Then they played with the {thing} and the {thing2} together.")
    ending(s, "{h} learned to love what {he} had.", "\"The best thing I got was a new friend,\" said {h}.")


def wish(s):
    joined(s, "{h} saw a falling star over the {place}.")
    s.say("\"I wish for a {o},\" {he} [said|whispered].", "{he} closed {his} eyes and wished for a {o}.")
    s.say("The next morning, there was a {o} [by the door|on {his} bed]!",
          "When {he} woke up, the {o} was there!")
    happy(s, both=False)
    s.say("{he} took the {thing} outside to show everyone.", "{he} went {at} to play with the {thing}.")
    s.say("There {he} saw {f}, a {fkind}. {fhe} was [sick|sad|all alone] and had no toys.",
          "A little {fkind} named {f} was sitting {s1}. {fhe} looked very sad.")
    s.say("\"What is wrong?\" asked {h}. \"I wished for a friend, but no one came,\" said {f}.",
          "\"I saw the star too,\" said {f}, \"but my wish did not come true.\"")
    s.say("{h} thought for a moment. Then {he} held out the {thing}.",
          "{h} sat down next to {fhim} and gave {fhim} the {thing}.")
    s.say("\"Here, it is for you,\" {he} said.",
          "\"You can have it,\" said {h}. \"And I will be your friend.\"")
    s.say("{f}'s eyes grew big. \"Really? Thank you!\" {fhe} said.",
          "{f} smiled for the first time that day.")
    s.say("That night, [another star fell|the stars were very bright], and {h} did not need another wish.",
          "\"Now both our wishes came true,\" said {h}.")
    ending(s, "{h} learned that giving feels [even better than getting|wonderful].")


def bedtime(s):
    s.say("It was late, but {h} could not sleep.", "The moon was up, but {h} was wide awake.")
    s.say("{he} turned left. {he} turned right.",
          "{he} counted sheep. One, two, three.",
          "{he} drank some water and closed {his} eyes.")
    s.say("\"I cannot sleep,\" {he} said to {g}.", "{he} went to {g}. \"I am not tired,\" {he} said.")
    s.say("\"Think of [something nice|a happy day],\" said {g}.",
          "\"Shall I tell you a story?\" asked {g}. {h} nodded.")
    s.say("So {h} thought about {f}, a {fkind} with a {o}.",
          "\"It is about a {fkind} named {f} who had a {o},\" said {g}.")
    s.say("{f} [sailed over the sea|flew over the mountains|walked to the moon] with the {thing}.",
          "One night, {f} climbed on the {thing}, and it flew up to the stars.")
    s.say("{fhe} saw {see1} and {see2} down below.",
          "There {fhe} met [a sleepy dragon|a singing whale|the man in the moon].")
    s.say("\"Come and rest here,\" said [a soft cloud|the moon].",
          "Then {fhe} found a bed [of soft clouds|of white feathers].")
    s.say("{f} lay down with the {thing} and fell asleep.",
          "{f} was tired and happy, and {fhe} closed {fhis} eyes.")
    s.say("\"And what happened then?\" asked {h} with a yawn.", "{h} smiled and pulled up the blanket.")
    s.say("\"Good night, {h},\" said {g}. But {h} was already asleep.", "Soon {h} was asleep too.")
    s.say("In {his} dream, {he} played with {f} until morning.", "All night long, {he} dreamed of the {o}.")


def music(s):
    s.say("{h} loved music and played the drum.", "{he} wanted to play in a band.")
    joined(s, "{g_intro} said, \"There will be a big party {at} tonight.\"")
    s.say("\"We need music,\" said {h}. \"I will [start a band|find some players].\"")
    s.say("First, {he} asked {f}, a {ftrait} {fkind}. \"What can you play?\" {he} asked.",
          "{he} ran to {fthe}. \"Will you play with me?\" {he} asked.")
    a, b = s.pick(("flute", "blew"), ("bell", "rang"), ("horn", "blew"))
    s.say("\"I can play the {a},\" said {f}.", "{f} had an old {a}. \"I can try,\" {fhe} said.", a=a)
    s.say("At first, it sounded terrible. [A bird flew away|A cow covered its ears].",
          "They started to play, but it was too loud and too fast.")
    s.say("\"Listen to me, and I will listen to you,\" said {f}.",
          "\"Slowly,\" said {h}. \"Let us listen to each other.\"")
    s.say("They tried again. One, two, three, four!", "So they practiced {s1} until it sounded right.")
    s.say("In the evening, everyone came to the party. {h} played the drum, and {f} {b} the {a}.",
          "That night, {h} played the drum and {f} {b} the {a}.",
          a=a, b=b)
    s.say("Everyone danced, even {g}.", "People clapped and danced until midnight.")
    s.say("\"What wonderful music!\" said {g}.", "\"Play it again!\" they all shouted.")
    happy(s)
    ending(s, "{h} learned that music is best when you listen.", "They called their band [The Happy Drum|The Little Stars|The Morning Birds].")


def winter(s):
    s.say("It was winter, and the {place} was white with snow.",
          "Snow fell on the {place}, and the nights were long and cold.")
    s.say("{h} had a warm {home} and a lot of {food}.", "{h} had a {color} scarf and a warm {home}.")
    joined(s, "{he} heard a knock. {f}, a small {fkind}, was [outside|standing in the snow].")
    s.say("\"My home is full of snow,\" said {f}. \"May I come in?\"",
          "\"I am so cold,\" {fhe} said. \"I have nowhere to go.\"")
    s.say("\"Of course! Come in and get warm,\" said {h}.",
          "{h} thought, \"My {home} is very small.\" But {he} said, \"Come in.\"")
    s.say("{he} gave {fhim} some {food} and a soft blanket.", "They sat by the fire, and {h} made hot tea.")
    s.say("Soon there was another knock. It was {g_intro}.",
          "Then {g} came to the door too. \"Is there room for one more?\" {ghe} asked.")
    s.say("\"There is always room for a friend,\" said {h}.",
          "\"It will be tight, but it will be warm,\" said {f}.")
    s.say("They told stories and sang songs while the wind blew outside.",
          "All night, they sat close together and told stories.")
    s.say("In the morning, the sun was shining, and they [made a snowman|played in the snow].",
          "The next day, they all helped {f} to clean {fhis} home.")
    if "snowman" in s.lines[-1]:
        s.say("They gave the snowman a {o}.", chance=0.5)
    ending(s, "{h} learned that a small home can hold many friends.", "\"Thank you for opening your door,\" said {f}.")


PLOTS = [lost_thing, sharing, new_friend, strange_noise, rescue, building, birthday, race, lost_child, key_and_box,
         seed, broken, learning, picnic, baby_bird, trade, wish, bedtime, music, winter]


def make_story(rng):
    """One story as a single paragraph."""
    story = Story(rng)
    opening(story)
    rng.choice(PLOTS)(story)
    return story.text()


def make_stories(count, seed):
    rng = random.Random(seed)
    return [make_story(rng) for _ in range(count)]


if __name__ == "__main__":
    for text in make_stories(8, seed=0):
        print(text, end="\n\n")
