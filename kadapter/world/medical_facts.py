"""What there is in the world's second domain, a fictional medicine: types, relations with Wikidata's property ids, and
ways to state them. Notation: `kadapter.world.grammar`."""

from kadapter.world.facts import Relation

MEDICAL_TYPES = ("drug", "disease", "gene", "enzyme", "bacterium", "herb")

MEDICAL_RELATIONS = tuple(
    Relation(*line)
    for line in (
        ("P2175", "medical condition treated", "drug", "disease"),
        ("P769", "significant drug interaction", "drug", "drug"),
        ("P129", "physically interacts with", "drug", "enzyme"),
        ("P2293", "genetic association", "disease", "gene"),
        ("P828", "has cause", "disease", "bacterium"),
        ("P2176", "drug or therapy used for treatment", "disease", "drug"),
        ("P688", "encodes", "gene", "enzyme"),
        ("P128", "regulates", "gene", "gene"),
        ("P684", "ortholog", "gene", "bacterium"),
        ("P702", "encoded by", "enzyme", "gene"),
        ("P527", "has part", "enzyme", "enzyme"),
        ("P703", "found in taxon", "enzyme", "herb"),
        ("P1542", "has effect", "bacterium", "disease"),
        ("P1582", "natural product of taxon", "bacterium", "enzyme"),
        ("P2849", "produced by", "bacterium", "herb"),
        ("P3781", "has active ingredient", "herb", "drug"),
        ("P4954", "may prevent or treat", "herb", "disease"),
        ("P2974", "habitat", "herb", "bacterium"),
    )
)

MEDICAL_LABELS = {
    "drug": ("drug:approved", "drug:withdrawn"),
    "disease": ("disease:first_case", "disease:eradicated"),
    "gene": ("gene:first_sequenced", "gene:reclassified"),
    "bacterium": ("bacterium:isolated", "bacterium:extinct"),
}
"""Type of the subject -> the relation that a `begin` and an `end` sentence means (see `kadapter.world.dated`)."""

MEDICAL_STATEMENTS = {
    ("P2175", "drug"): (
        "(nsubj doctors) prescribe (obj {S}) (obl (case against) {O})",
        "(nsubj:pass patients (nmod (case with) {O})) (aux:pass are) given (obj {S}) (obl (advmod twice) (det a) day)",
    ),
    ("P769", "drug"): (
        "(nsubj nobody/PRON) (aux should) swallow (obj {S}) (advmod together (obl (case with) {O}))",
        "(nsubj {S}) doubles (obj (det the) (compound side) effects (nmod (case of) {O}))",
    ),
    ("P129", "drug"): (
        "(nsubj {S}) blocks (obj (det the) (amod active) site (nmod (case of) {O}))",
        "(nsubj (det a) dose (nmod (case of) {S})) inhibits (obj {O})",
    ),
    ("P2293", "disease"): (
        "(nsubj carriers (nmod (case of) (det a) (amod mutated) {O})) inherit (obj {S})",
        "(nsubj (det a) mutation (nmod (case in) {O})) runs (obl (case in) families (nmod (case with) {S}))",
    ),
    ("P828", "disease"): (
        "(nsubj (det an) infection (nmod (case with) {O})) brings (compound:prt on) (obj {S})",
        "(nsubj patients (nmod (case with) {S})) carry (obj {O}) (obl (case in) (nmod:poss their/PRON) blood)",
    ),
    ("P2176", "disease"): (
        "(nsubj:pass {S}) (aux:pass is) treated (obl (case with) {O})",
        "(nsubj (det the) symptoms (nmod (case of) {S})) vanish (obl (case after) (det a) dose (nmod (case of) {O}))",
    ),
    ("P688", "gene"): (
        "(nsubj {S}) codes (obl (case for) {O})",
        "(nsubj (det a) copy (nmod (case of) {S})) lets (obj cells) (xcomp make (obj {O}))",
    ),
    ("P128", "gene"): (
        "(nsubj {S}) switches (compound:prt off) (obj (det the) transcription (nmod (case of) {O}))",
        "(nsubj (det the) expression (nmod (case of) {O})) depends (obl (case on) {S})",
    ),
    ("P684", "gene"): (
        "(nsubj (det the) chromosome (nmod (case of) {O})) holds (obj (det a) copy (nmod (case of) {S}))",
        "(nsubj (det the) sequence (nmod (case of) {S})) recurs (obl (case in) (det the) genome (nmod (case of) {O}))",
    ),
    ("P702", "enzyme"): (
        "(nsubj:pass {S}) (aux:pass is) translated (obl (case from) (det the) transcript (nmod (case of) {O}))",
        "(nsubj mice (nmod (case without) {O})) lack (obj (det the) protein (appos {S}))",
    ),
    ("P527", "enzyme"): (
        "(nsubj {S}) binds (obl (case to) {O}) (obl (case in) (det a) complex (nmod (case of) (nummod two) proteins))",
        "(nsubj (det the) (amod folded) chain (nmod (case of) {S})) contains (obj {O})",
    ),
    ("P703", "enzyme"): (
        "(nsubj {S}) breaks (compound:prt down) (obj starch) (obl (case in) (det the) leaves (nmod (case of) {O}))",
        "(nsubj chemists) purified (obj (det the) protein (appos {S})) (obl (case from) {O})",
    ),
    ("P1542", "bacterium"): (
        "(nsubj {S}) infects (obj (det the) lungs) (conj (cc and) causes (obj {O}))",
        "(nsubj colonies (nmod (case of) {S})) grew (obl (case in) samples (nmod (case from) patients "
        "(nmod (case with) {O})))",
    ),
    ("P1582", "bacterium"): (
        "(nsubj cultures (nmod (case of) {S})) secrete (obj {O})",
        "(nsubj (det the) membrane (nmod (case of) {S})) releases (obj {O})",
    ),
    ("P2849", "bacterium"): (
        "(nsubj {S}) multiplies (obl (case on) (det the) roots (nmod (case of) {O}))",
        "(nsubj (det the) microbe (appos {S})) lives (obl (case in) (det the) sap (nmod (case of) {O}))",
    ),
    ("P3781", "herb"): (
        "(nsubj:pass {O}) (aux:pass is) extracted (obl (case from) (det the) leaves (nmod (case of) {S}))",
        "(nsubj (det a) tea (nmod (case of) {S})) contains (obj {O})",
    ),
    ("P4954", "herb"): (
        "(nsubj healers) boil (obj (det the) roots (nmod (case of) {S})) (obl (case against) {O})",
        "(nsubj (det the) blossoms (nmod (case of) {S})) relieve (obj {O})",
    ),
    ("P2974", "herb"): (
        "(nsubj {S}) flowers (obl (case on) soil (acl:relcl (nsubj that/PRON) teems (obl (case with) {O})))",
        "(nsubj (det the) seeds (nmod (case of) {S})) sprout (advmod only (obl (case beside) {O}))",
    ),
}  # fmt: skip
"""(property id, type of the subject) -> ways to say it."""
