"""The closed vocabulary of the built-in generator: which words it learned, and which mean the same.

A prompt becomes a short row of concept tokens (``guarded_sora.generation.reading``); several words may
name one concept ("puppy", "dog") and one concept may take several words ("night sky"). Words that only
join others carry no token.
"""

from __future__ import annotations

TINTABLE = (
    "balloon", "ball", "heart", "star", "car", "fish", "butterfly", "flower", "apple", "kite", "boat",
    "umbrella",
)  # fmt: skip
NATURAL = (
    "dog", "cat", "rocket", "pizza", "mushroom", "penguin", "turtle", "robot", "cactus", "snowman", "owl",
    "ghost",
)  # fmt: skip
OBJECTS = TINTABLE + NATURAL
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
BACKGROUNDS = ("beach", "night", "meadow", "sunset", "snow", "sea")
MOTIONS = ("left", "right", "rise", "fall", "grow", "shrink", "spin", "still", "bounce")
SIDES = ("left", "right", "above", "below", "beside")
EVENTS = ("hit", "behind", "front")
RELATIONS = SIDES + EVENTS
"""How the first object stands to the second, or what it does to it; ``beside`` leaves open which is left."""
STYLES = ("grey", "sepia", "sketch", "pixels", "negative")
CAMERAS = ("left", "right", "in", "out")
"""Where the camera goes, or which way it zooms, in a film of one object."""

PAD, UNKNOWN = 0, 1
CONCEPTS: tuple[str, ...] = (
    "<pad>",
    "<unk>",
    *(f"object:{name}" for name in OBJECTS),
    *(f"colour:{name}" for name in COLOURS),
    *(f"background:{name}" for name in BACKGROUNDS),
    *(f"motion:{name}" for name in MOTIONS),
    *(f"relation:{name}" for name in RELATIONS),
    *(f"object2:{name}" for name in OBJECTS),
    *(f"colour2:{name}" for name in COLOURS),
    *(f"style:{name}" for name in STYLES),
    *(f"camera:{name}" for name in CAMERAS),
)
KINDS = ("object", "colour", "background", "motion", "relation", "object2", "colour2", "style", "camera")
"""What a prompt may say, in the order of the tokens; at most one of each."""
MAX_TOKENS = len(KINDS)

SYNONYMS: dict[str, tuple[str, ...]] = {
    "object:balloon": ("balloon", "air balloon", "party balloon"),
    "object:ball": ("ball", "basketball", "sphere"),
    "object:heart": ("heart", "love heart"),
    "object:star": ("star",),
    "object:car": ("car", "automobile", "vehicle", "taxi"),
    "object:fish": ("fish", "tropical fish"),
    "object:butterfly": ("butterfly",),
    "object:flower": ("flower", "blossom", "hibiscus", "bloom"),
    "object:apple": ("apple",),
    "object:kite": ("kite", "paper kite"),
    "object:boat": ("boat", "sailboat", "sailing boat", "ship", "yacht"),
    "object:umbrella": ("umbrella", "parasol"),
    "object:dog": ("dog", "puppy", "doggy", "hound"),
    "object:cat": ("cat", "kitten", "kitty"),
    "object:rocket": ("rocket", "spaceship", "space rocket", "spacecraft"),
    "object:pizza": ("pizza", "slice of pizza", "pizza slice"),
    "object:mushroom": ("mushroom", "toadstool"),
    "object:penguin": ("penguin",),
    "object:turtle": ("turtle", "tortoise"),
    "object:robot": ("robot", "android"),
    "object:cactus": ("cactus",),
    "object:snowman": ("snowman", "snow man"),
    "object:owl": ("owl",),
    "object:ghost": ("ghost", "spook"),
    "colour:red": ("red", "crimson", "scarlet"),
    "colour:orange": ("orange",),
    "colour:yellow": ("yellow", "golden"),
    "colour:green": ("green",),
    "colour:blue": ("blue",),
    "colour:purple": ("purple", "violet"),
    "colour:pink": ("pink", "rosy"),
    "colour:brown": ("brown",),
    "background:beach": ("beach", "sandy beach", "seashore", "sand", "seaside", "shore"),
    "background:night": (
        "night sky", "starry sky", "starry night", "starry night sky", "night", "dark sky", "at night",
        "stars at night",
    ),
    "background:meadow": (
        "meadow", "green meadow", "field", "green field", "grassy field", "grass", "green grass", "lawn",
        "grassland", "green hills",
    ),
    "background:sunset": (
        "sunset", "sunset sky", "evening sky", "dusk", "orange sky", "orange sunset",
        "sundown", "setting sun",
    ),
    "background:snow": (
        "snow", "snowy field", "snow field", "winter landscape", "snowy landscape",
        "snowy hills", "white snow",
        "snowy meadow", "winter",
    ),
    "background:sea": (
        "sea", "deep sea", "deep blue sea", "blue sea", "ocean", "blue ocean", "deep ocean",
        "underwater", "water",
        "deep blue ocean", "blue water",
    ),
    "motion:left": (
        "drifting left", "drifting to the left", "moving left", "moving to the left", "floating left",
        "floating to the left", "gliding left", "flying left", "flying to the left", "going left", "left",
    ),
    "motion:right": (
        "drifting right", "drifting to the right", "moving right", "moving to the right", "floating right",
        "floating to the right", "gliding right", "flying right", "flying to the right",
        "going right", "right",
    ),
    "motion:rise": (
        "rising", "rises", "rising up", "going up", "moving up", "floating up", "climbing", "ascending",
        "flying up", "upwards", "floating upwards",
    ),
    "motion:fall": (
        "falling", "falls", "falling down", "dropping", "going down", "moving down", "sinking", "descending",
        "floating down", "downwards",
    ),
    "motion:grow": (
        "growing", "grows", "getting bigger", "getting larger", "coming closer", "approaching", "swelling",
        "growing bigger", "growing larger",
    ),
    "motion:shrink": (
        "shrinking", "shrinks", "getting smaller", "moving away", "receding",
        "going away", "becoming smaller",
    ),
    "motion:spin": (
        "spinning", "spins", "rotating", "turning", "twirling", "turning around",
        "spinning around", "rolling",
    ),
    "motion:still": (
        "standing still", "standing", "still", "resting", "not moving", "waiting", "sitting still", "sitting",
        "hovering", "staying still", "motionless",
    ),
    "motion:bounce": (
        "bouncing", "bounces", "bouncing up and down", "jumping", "hopping", "bouncing on the ground",
    ),
    "relation:left": ("to the left of", "left of", "on the left of", "at the left of", "on the left side of"),
    "relation:right": (
        "to the right of", "right of", "on the right of", "at the right of", "on the right side of",
    ),
    "relation:above": ("above", "over", "on top of", "higher than"),
    "relation:below": ("below", "under", "beneath", "underneath", "lower than"),
    "relation:beside": ("and", "beside", "next to", "by", "near", "with", "together with", "alongside"),
    "relation:hit": (
        "hitting", "hits", "colliding with", "collides with", "bumping into", "bumps into", "crashing into",
        "crashes into", "pushing", "pushes", "knocking away", "striking",
    ),
    "relation:behind": (
        "passing behind", "passes behind", "moving behind", "moves behind", "going behind", "goes behind",
        "hiding behind", "hides behind", "behind",
    ),
    "relation:front": (
        "passing in front of", "passes in front of", "moving in front of", "moves in front of",
        "going in front of", "goes in front of", "crossing in front of", "in front of",
    ),
    "style:grey": (
        "black and white", "in black and white", "black and white film", "monochrome", "greyscale",
        "grayscale",
    ),
    "style:sepia": ("sepia", "in sepia", "sepia toned", "vintage", "old photograph"),
    "style:sketch": (
        "pencil sketch", "sketch", "pencil drawing", "in pencil", "line drawing", "drawn in pencil",
    ),
    "style:pixels": ("pixel art", "pixelated", "in pixel art", "8 bit", "blocky pixels"),
    "style:negative": ("photo negative", "negative", "inverted colours", "inverted colors", "x ray"),
    "camera:left": (
        "camera panning left", "camera panning to the left", "camera pans left", "camera pans to the left",
        "camera moving left", "camera moves left", "panning left", "panning to the left", "pan left",
        "pan to the left",
    ),
    "camera:right": (
        "camera panning right", "camera panning to the right", "camera pans right",
        "camera pans to the right", "camera moving right", "camera moves right", "panning right",
        "panning to the right", "pan right", "pan to the right",
    ),
    "camera:in": (
        "camera zooming in", "camera zooms in", "camera moving in", "camera moves in", "camera moving closer",
        "camera moves closer", "zooming in", "zooms in", "zoom in", "dolly in", "push in",
    ),
    "camera:out": (
        "camera zooming out", "camera zooms out", "camera moving out", "camera moves out",
        "camera moving back", "camera moves back", "zooming out", "zooms out", "zoom out", "dolly out",
        "pull out",
    ),
}  # fmt: skip
"""What names each concept; ``object2`` and ``colour2`` are the object's and the colour's own words,
where a relation stands between the two. A relation's words relate only between two objects."""

SILENT = frozenset(
    (
        "a", "an", "the", "one", "single", "some", "this", "that", "is", "are", "was", "be", "in", "on", "at",
        "over", "above", "across", "under", "below", "beneath", "before", "behind", "of", "with", "and", "to",
        "from", "by", "into", "through", "against", "near", "there", "here", "it", "its", "which", "while",
        "video", "clip", "film", "movie", "scene", "shot", "picture", "showing", "shows", "show",
        "background", "front", "beside", "around", "as", "slowly", "gently",
    )
)  # fmt: skip
"""Words that join others and carry no token."""


def concept(kind: str, name: str) -> int:
    """Index of a concept, for example ``concept("object", "dog")``."""
    return CONCEPTS.index(f"{kind}:{name}")
