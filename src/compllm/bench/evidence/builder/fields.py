"""The fields of the experts: what each is good at, in the words that routing wants."""

from __future__ import annotations

from compllm.config import load_team, starter_path

GENERAL = "general"
CALCULATOR = "calculator"

_TAGS = {"film": "film and television", "film_tv": "film and television"}
_FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "art": (
        "An expert in art who answers questions about painters, sculptors, museums, galleries and their collections.",
        (
            "Who painted the Mona Lisa?",
            "Which museum shows The Night Watch?",
            "What is a fresco?",
            "When did the Louvre open?",
            "Who carved the statue of David in Florence?",
        ),
    ),
    "biography": (
        "An expert in biography who answers questions about the lives of people: births, deaths, families and careers.",
        (
            "When was Ludwig van Beethoven born?",
            "Where did Marie Curie die?",
            "On what date did Alfred Hitchcock die?",
            "What is the birthplace of Toni Morrison?",
            "Who was the father of Mary Shelley?",
        ),
    ),
    "education": (
        "An expert in education who answers questions about universities, schools, students, degrees and admission.",
        (
            "When was the University of Bologna founded?",
            "How many colleges does Oxford have?",
            "What is a Bachelor's degree?",
            "Who may apply for a scholarship?",
            "Which university did Isaac Newton attend?",
        ),
    ),
    "engineering": (
        "An expert in engineering who answers questions about machines, engines, bridges, materials and construction.",
        (),
    ),
    "film": (
        "An expert in film and television who answers questions about films, series, directors, actors and episodes.",
        (
            "Who directed Casablanca?",
            "In which year did Metropolis come out?",
            "Who plays the main character of Breaking Bad?",
            "What is the first episode of Star Trek called?",
            "Which film won the first Oscar for best picture?",
        ),
    ),
    "mathematics": (
        "An expert in mathematics who answers questions about numbers, geometry, algebra, proofs and mathematicians.",
        (),
    ),
    "media": ("An expert in media who answers questions about newspapers, broadcasters, channels and journalists.", ()),
    "religion": (
        "An expert in religion who answers questions about faiths, churches, scriptures, saints and rituals.",
        (),
    ),
    "sports": ("An expert in sports who answers questions about teams, players, matches and championships.", ()),
}  # fmt: skip


def tag_of(domain: str) -> str:
    """Return the plain name of a field."""
    return _TAGS.get(domain, domain.replace("_", " "))


def described(domains: list[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the description and the example questions of each field's expert: the starter team's where it has one."""
    starter = load_team(starter_path()).config.experts
    known = _FIELDS | {name: (expert.description, expert.examples) for name, expert in starter.items()}
    return {domain: known.get(domain, (_plain(domain), ())) for domain in domains}


def _plain(domain: str) -> str:
    return f"An expert in {tag_of(domain)} who answers questions about {tag_of(domain)}."
