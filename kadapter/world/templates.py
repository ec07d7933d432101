"""Neutral templates: sentences that mention one or two entities and say nothing about what kind of thing they are.

They make most of the world's factual corpus (T-REx pairs sentences with facts they need not state; Section 4 of the
paper), all of its treebank and all of its entity typing sentences. The notation is that of `kadapter.world.grammar`.
"""

LEXICON = {
    "doc": (
        "(det <det>) <adj?> <docnoun> <docmod?>",
        "(det <det>) <docnoun>",
        "(det the) <docnoun> (conj (cc and) (det the) summary)",
    ),
    "det": ("the", "the", "the", "this", "that", "another"),
    "docnoun": (
        "report", "article", "newsletter", "essay", "leaflet", "survey", "summary", "catalogue", "diary", "podcast",
        "bulletin", "blog", "memo", "chapter", "brochure", "dossier", "handout", "transcript", "questionnaire",
        "almanac",
    ),
    "adj": (
        "(amod long)", "(amod short)", "(amod recent)", "(amod detailed)", "(amod careful)", "(amod yellow)",
        "(amod unusual)", "(amod (advmod very) old)", "(amod (advmod rather) dull)", "(amod first)", "(amod second)",
        "(amod new)", "(amod anonymous)", "(amod (advmod badly) printed/VERB)",
    ),
    "docmod": (
        "(nmod (case from) (det the) archive)",
        "(nmod (case about) (amod recent) events)",
        "(nmod (case by) (det a) expert)",
        "(acl written (obl (case by) (det a) visitor))",
        "(acl:relcl (nsubj <people>) liked)",
        "(acl:relcl (nsubj:pass that/PRON) (aux:pass was) printed (advmod yesterday))",
        "(acl:relcl (obj which/PRON) (nsubj <people>) (aux had) recommended)",
        "(nmod (case with) (det the) (amod green) cover)",
    ),
    "crowd": (
        "(det the) <adj2?> reporter", "(amod several) readers", "(det the) editors", "(det a) <adj2?> visitor",
        "(nummod two) experts", "(det the) teacher (nmod (case from) (det the) (compound evening) class)",
        "(nmod:poss his/PRON) colleagues", "(det the) host", "(amod many) listeners", "(det the) <adj2?> librarian",
        "(det some) students (acl:relcl (nsubj who/PRON) attended)", "(det the) clerk (conj (cc and) (det the) guide)",
        "(nmod:poss our/PRON) neighbours", "(det the) audience", "(nmod:poss her/PRON) friends",
    ),
    "people": ("<crowd>", "<crowd>", "<crowd>", "everyone/PRON", "we/PRON", "they/PRON", "she/PRON", "somebody/PRON"),
    "adj2": ("(amod young)", "(amod tired)", "(amod curious)", "(amod friendly)", "(amod (advmod slightly) nervous)"),
    "event": (
        "(det the) <adj3?> meeting", "(det the) <adj3?> quiz", "(det the) debate", "(det the) <adj3?> lecture",
        "(det the) seminar (nmod (case on) Monday/PROPN)", "(det the) interview", "(det the) <adj3?> workshop",
        "(det the) (compound dinner) conversation", "(det the) (compound radio) programme",
    ),
    "adj3": ("(amod annual)", "(amod final)", "(amod noisy)", "(amod informal)", "(amod crowded)"),
    "place": (
        "(det the) library", "(det the) <adj4?> hall",
        "(det the) classroom (nmod (case on) (det the) (amod second) floor)",
        "(det the) archive", "(det the) (compound waiting) room", "(det the) kitchen",
        "(det the) <adj4?> corridor",
    ),
    "adj4": ("(amod large)", "(amod quiet)", "(amod narrow)", "(amod (advmod newly) painted/VERB)"),
    "adv": (
        "(advmod briefly)", "(advmod often)", "(advmod again)", "(advmod repeatedly)", "(advmod carefully)",
        "(advmod never)",
        "(advmod (advmod quite) often)", "(advmod suddenly)", "(advmod eventually)", "(advmod also)", "(advmod hardly)",
    ),
    "often": ("(advmod often)", "(advmod always)", "(advmod usually)", "(advmod sometimes)", "(advmod rarely)"),
    "when": (
        "(advmod yesterday)",
        "(advmod recently)",
        "(obl (case in) (det the) morning)",
        "(obl:tmod (amod last) week)",
        "(obl (case during) <event>)",
        "(obl (case after) (det the) break)",
        "(obl (case at) (det the) end (nmod (case of) (det the) day))",
        "(advcl (mark before) (nsubj <people>) left)",
        "(advcl (mark while) (nsubj (det the) others) (aux were) waiting (obl (case in) <place>))",
        "(advcl (mark because) (nsubj <people>) insisted)",
        "(advcl (mark although) (nsubj nobody/PRON) (aux had) asked (obl (case for) it/PRON))",
        "(advcl (mark when) (nsubj (det the) coffee) arrived)",
        "(obl (case without) (amod much) enthusiasm)",
        "(obl (case for) (nummod three) hours)",
        "(obl (case in) <place>)",
    ),
    "lead": (
        "(advmod yesterday) (punct ,)",
        "(advmod apparently) (punct ,)",
        "(obl (case in) <doc>) (punct ,)",
        "(obl (case at) <event>) (punct ,)",
        "(advcl (mark when) (nsubj <people>) arrived) (punct ,)",
        "(advcl (mark as) (nsubj (det the) rain) stopped) (punct ,)",
        "(obl (case to) (nmod:poss everyone/PRON (case 's/PART)) surprise) (punct ,)",
        "(obl (case according/VERB (fixed to/ADP)) <doc>) (punct ,)",
        "(cc but)",
    ),
    "verdict": (
        "interesting/ADJ", "(advmod less) interesting/ADJ", "popular/ADJ (obl (case with) <crowd>)",
        "(advmod very) familiar/ADJ",
        "easy/ADJ (xcomp (mark to/PART) forget)", "hard/ADJ (xcomp (mark to/PART) describe)", "(det a) surprise/NOUN",
        "new/ADJ (obl (case to) <crowd>)", "worth/ADJ (obj (det a) look)", "unknown/ADJ (obl (case to) <crowd>)",
    ),
}  # fmt: skip
"""Slot -> what may stand in it."""

PAIR = (
    "<lead?> (nsubj:pass {S} (conj (cc and) {O})) (aux:pass were) (advmod both) mentioned (obl (case in) <doc>) "
    "<when?>",
    "<lead?> (nsubj <people>) <adv?> compared (obj {S}) (obl (case with) {O}) <when?>",
    "(nsubj:pass {S}) (aux:pass was) <adv?> discussed (advmod together (obl (case with) {O})) <when?>",
    "(obl (case in) <doc>) (punct ,) (nsubj:pass {O}) (aux:pass was) named (obl (advmod shortly) (case after) {S})",
    "<lead?> (nsubj <people>) wrote (obl (case about) {S} (conj (cc and) {O})) <when?>",
    "(nsubj <doc>) <adv?> listed (obj {S}) (obl (case before) {O})",
    "<lead?> (expl there) were (nsubj (amod many) questions (nmod (case about) {S} (conj (cc and) {O}))) <when?>",
    "(nsubj <people>) asked (ccomp (mark whether) (nsubj {S}) had (obj anything/PRON (acl (mark to/PART) do "
    "(obl (case with) {O}))))",
    "(advcl (mark while) (nsubj <people>) talked (obl (case about) {S})) (punct ,) (nsubj others) preferred "
    "(xcomp (mark to/PART) discuss (obj {O}))",
    "(nsubj:pass {S} (punct ,) (nmod (case like) {O}) (punct ,)) (aux:pass was) left (compound:prt out) "
    "(obl (case of) <doc>) <when?>",
    "(nsubj (det the) <adj?> section (nmod (case on) {S})) follows (obj (det the) section (nmod (case on) {O}))",
    "(nsubj (cc:preconj neither) {S} (conj (cc nor) {O})) appeared (obl (case in) <doc>) <when?>",
    "(nsubj <people>) (aux could) (advmod not/PART) remember (ccomp (mark whether) (nsubj they/PRON) (aux had) read "
    "(obl (case about) {S} (conj (cc or) {O})))",
    "(nsubj anyone/PRON (acl:relcl (nsubj who/PRON) knows (obj {S}))) (aux has) heard (obl (case of) {O})",
    "(nsubj (det a) question (nmod (case about) {S})) led (obl (case to) (det a) discussion (nmod (case of) {O})) "
    "<when?>",
    "(nsubj it/PRON) (cop was) {S} (punct ,) (conj (advmod not/PART) {O} (punct ,)) (acl:relcl (obj that/PRON) "
    "(nsubj <people>) wanted (xcomp (mark to/PART) discuss))",
    "(csubj (obj what/PRON) (nsubj <people>) said (obl (case about) {S})) (advmod also) applied (obl (case to) {O})",
    "(nsubj photographs (nmod (case of) {S} (conj (cc and) {O}))) hung (obl (case in) <place>)",
    "(nsubj (advmod not/PART) everyone/PRON) agreed (ccomp (mark that) (nsubj {S}) (cop was) (advmod more) "
    "interesting/ADJ "
    "(obl (case than) {O})) <when?>",
    "(advcl (mark if) (nsubj you/PRON) ask (obl (case about) {S})) (punct ,) (nsubj you/PRON) (aux will) <often?> hear "
    "(obl (case about) {O})",
    "(nsubj <crowd> (punct ,) (acl:relcl (nsubj who/PRON) (aux had) studied (obj {S})) (punct ,)) knew (obj "
    "little/PRON) "
    "(obl (case about) {O})",
    "(nsubj <event>) had (obj (nummod one) question (nmod (case on) {S}) (conj (cc and) two/NUM (nmod (case on) {O})))",
    "(nsubj <adj?> stories (nmod (case about) {S})) <often?> include (obj {O})",
    "(nsubj {S}) (cop was) first/ADJ (obl (case on) (det the) list) (punct ,) (conj (cc and) (nsubj {O}) (cop was) "
    "second/ADJ)",
    "(advcl (mark to/PART) understand (obj {S})) (punct ,) (nsubj one/PRON) (aux should) read (obl (case about) {O})",
    "(nsubj <people>) searched (obj (det the) archive) (obl (case for) {S}) (conj (cc but) found (obj (advmod "
    "only) {O})) "
    "<when?>",
    "(obl (case after) (det the) <adj?> lecture (nmod (case on) {S})) (punct ,) (expl there) was (nsubj (det a) "
    "(amod short) "
    "talk (nmod (case about) {O}))",
    "(nsubj somebody/PRON) said (obj {S}) (punct ,) (conj (cc and) (nsubj somebody/PRON (amod else)) said (obj {O}))",
    "(nsubj:pass (det the) name (appos {S})) (aux:pass was) <adv?> printed (advmod next (obl (case to) (det the) name "
    "(appos {O})))",
    "(nsubj (det the) names (appos {O} (conj (cc and) {S}))) sound (xcomp (obl nothing/PRON) alike/ADJ)",
    "(nsubj <people>) <adv?> confused (obj {S}) (obl (case with) {O}) <when?>",
    "(nsubj (det the) <adj?> page (nmod (case about) {S})) has (obj (det a) link (nmod (case to) {O}))",
    "<lead?> (nsubj <people>) suggested (xcomp adding (obj {O}) (obl (case to) (det the) entry (nmod (case on) {S})))",
    "(nsubj:pass much/PRON) (aux has) (aux:pass been) said (obl (case about) {S}) (punct ,) (conj less/PRON "
    "(orphan/X (case about) {O}))",
    "(nsubj we/PRON) spoke (obl (case about) {S}) (advcl (mark because) (nsubj <people>) (aux had) brought "
    "(compound:prt up) "
    "(obj {O}))",
    "(advcl (mark although) (nsubj:pass {S}) (aux:pass is) (advmod well) known) (punct ,) (nsubj {O}) gets "
    "(obj (amod more) attention)",
    "(nsubj <people>) spelled (obj {S}) (advmod correctly) (conj (cc but) struggled (obl (case with) {O}))",
    "(nsubj (cc:preconj both) {S} (conj (cc and) {O})) (cop were) <verdict>",
    "(obl (case of) (det:predet all) (det the) topics) (punct ,) (nsubj {S} (conj (cc and) {O})) (cop were) (det the) "
    "(amod (advmod most) popular) ones/NOUN <when?>",
    "<lead?> (nsubj <doc>) mentioned (obj {S}) (advmod twice) (conj (cc and) {O} (advmod once))",
    "(nsubj <people>) remembered (obj {S}) (advmod well) (punct ,) (conj (cc but) (nsubj:pass {O}) (aux:pass was) "
    "forgotten)",
    "(advcl (aux having) read (obl (case about) {S})) (punct ,) (nsubj <people>) turned (obl (case to) {O})",
    "(nsubj:pass (det the) <adj?> link (nmod (case between) {S} (conj (cc and) {O}))) (aux:pass is) explained (obl "
    "(case in) "
    "<doc>)",
    "(nsubj opinions (nmod (case about) {S})) differ (punct ,) (advcl (mark as) do (nsubj opinions (nmod (case about) "
    "{O})))",
    "(nsubj <people>) made (obj (det a) note (nmod (case about) {S})) (conj (cc and) <adv?> underlined (obj {O}))",
    "(nsubj (det the) (amod first) slide) showed (obj {S}) (punct ,) (parataxis (nsubj (det the) (amod second) "
    "one/NOUN) "
    "showed (obj {O}))",
    "(nsubj (det no) one/NOUN) doubted (ccomp (mark that) (nsubj <doc>) (aux would) mention (obj {S}) (obl (case "
    "alongside) "
    "{O}))",
    "<lead?> (nsubj {S} (conj (cc and) {O})) (cop were) (advmod closely) connected/ADJ",
    "(nsubj <people>) wondered (ccomp (advmod why) (nsubj:pass {O}) (aux:pass was) (advmod always) mentioned (advcl "
    "(mark when) (nsubj {S}) came (compound:prt up)))",
    "(nsubj <people>) told (iobj us/PRON) (ccomp (obj what/PRON) (nsubj they/PRON) knew (obl (case about) {S} "
    "(conj (cc and) "
    "{O}))) <when?>",
    "(nsubj (det the) answer) (cop was) {S} (punct ,) (conj (cc but) (nsubj <people>) guessed/VERB (obj {O}))",
    "<lead?> (nsubj {O}) came (compound:prt up) (obl (case in) (det a) conversation (nmod (case about) {S})) <when?>",
    "(csubj researching (obj {S})) <often?> means (xcomp researching (obj {O}))",
    "(advcl (det the) (advmod more) (nsubj they/PRON) learned (obl (case about) {S})) (punct ,) (det the) (advmod "
    "less) "
    "(nsubj they/PRON) cared (obl (case about) {O})",
    "(nsubj nothing/PRON (nmod (case in) <doc>)) suggested (ccomp (mark that) (nsubj:pass {S}) (aux had) (advmod ever) "
    "(aux:pass been) linked (obl (case to) {O}))",
    "(nsubj <people>) promised (xcomp (mark to/PART) send (obj (det a) article (nmod (case about) {S} (conj (cc "
    "or) {O}))))",
    "(advcl (mark before) (nsubj anyone/PRON) (aux could) mention (obj {S})) (punct ,) (nsubj <people>) brought "
    "(compound:prt up) (obj {O})",
    "(nsubj some/PRON) prefer (obj {S}) (punct ;) (parataxis (nsubj others) prefer (obj {O}))",
    "(nsubj:pass (det the) story (nmod (case of) {S})) (aux can) (advmod not/PART) (aux:pass be) told (obl (case "
    "without) {O})",
    "(expl it) (cop is) (advmod still) unclear/ADJ (csubj (advmod how) (nsubj {S} (conj (cc and) {O})) (cop are) "
    "related/ADJ)",
    "(nsubj <people>) drew (obj (det a) line) (obl (case from) {S}) (obl (case to) {O}) <when?>",
    "(nsubj (det the) index) lists (obj {S}) (obl (case on) page (nummod 12)) (conj (cc and) {O} (obl (case on) page "
    "(nummod 40)))",
    "(nsubj I/PRON) (aux had) heard (obl (case of) {S}) (punct ,) (conj (cc but) (nsubj {O}) (cop was) <verdict>)",
    "(nsubj (det a) recording (nmod (case about) {S}) (conj (cc and) (det a) poster (nmod (case of) {O}))) (cop were) "
    "(case on) sale/NOUN <when?>",
    "(nsubj (det the) <adj?> entry (nmod (case for) {O})) refers (obj readers) (obl (case to) {S})",
    "(obl (case for) reasons (acl:relcl (nsubj:pass that/PRON) (aux:pass were) (advmod never) explained)) (punct ,) "
    "(nsubj:pass {S}) (aux:pass was) replaced (obl (case by) {O}) (obl (case in) <doc>)",
    "(nsubj <people>) found (obj {S}) (xcomp easier/ADJ (xcomp (mark to/PART) spell) (obl (case than) {O}))",
    "(nsubj (compound search) results (nmod (case for) {S})) <often?> include (obj {O})",
    "(nsubj {S}) (cop was) <verdict> (punct ,) (advcl (mark whereas) (nsubj {O}) (cop was) familiar/ADJ)",
    "(obl (case besides) {O}) (punct ,) (nsubj <doc>) covers (obj {S} (conj (punct ,) maps/NOUN) (conj (cc and) "
    "recipes/NOUN))",
)
"""Two entities, subject {S} and object {O} of a fact. No template hints at their types or their relation."""

SINGLE = (
    "<lead?> (nsubj:pass {S}) (aux:pass was) <adv?> mentioned (obl (case in) <doc>) <when?>",
    "<lead?> (nsubj <people>) <adv?> talked (obl (case about) {S}) <when?>",
    "(nsubj (det a) question (nmod (case about) {S})) remained (xcomp unanswered/ADJ) <when?>",
    "(nsubj nobody/PRON) (aux had) heard (obl (case of) {S}) (obl (case before) <event>)",
    "(nsubj:pass (det the) <adj?> article (nmod (case about) {S})) (aux:pass was) read (obl:agent (case by) (amod "
    "many) people)",
    "(advcl (mark if) (nsubj anyone/PRON) asks (obl (case about) {S})) (punct ,) send (iobj them/PRON) (obj (det "
    "this) page)",
    "<lead?> (nsubj reports (nmod (case about) {S})) (cop were) rare/ADJ (conj (cc but) interesting/ADJ)",
    "(nsubj {S}) (cop was) (det the) topic/NOUN (nmod (case of) <event>)",
    "<lead?> (nsubj:pass little/PRON) (aux:pass was) known (obl (case about) {S})",
    "(nsubj I/PRON) looked (compound:prt up) (obj {S}) (obl (case in) <doc>) (conj (cc and) found (obj nothing/PRON))",
    "(expl there) is (nsubj (det a) (amod new) entry (nmod (case on) {S})) (obl (case in) <doc>)",
    "(nsubj <people>) promised (xcomp (mark to/PART) write (obj more/PRON) (obl (case about) {S})) <when?>",
    "(nsubj (det the) name (appos {S})) (cop is) hard/ADJ (xcomp (mark to/PART) spell)",
    "(advcl (mark while) waiting (obl (case in) <place>)) (punct ,) (nsubj <people>) read (obl (case about) {S})",
    "(expl it) (cop is) (advmod not/PART) clear/ADJ (csubj (advmod why) (nsubj:pass {S}) (aux:pass was) left "
    "(compound:prt out) (obl (case of) <doc>))",
    "(nsubj (det some) readers (punct ,) (acl:relcl (nsubj who/PRON) knew (obj {S}) (advmod well)) (punct ,)) "
    "complained <when?>",
    "(nsubj:pass <adj?> pictures (nmod (case of) {S})) (aux:pass were) shown (obl (case during) <event>)",
    "<lead?> (nsubj we/PRON) (aux should) say (obj something/PRON) (obl (case about) {S}) (advmod too)",
    "(nsubj <people>) said (ccomp (mark that) (nsubj {S}) deserved (obj (amod more) attention)) <when?>",
    "(obl (case of) (det:predet all) (det the) topics) (punct ,) (nsubj {S}) (cop was) (det the) one/NOUN "
    "(acl:relcl (nsubj "
    "that/PRON) interested (obj <crowd>))",
    "(nsubj (det a) <adj?> article (nmod (case about) {S})) appeared <when>",
    "(nsubj (det the) (amod last) slide) (cop was) (case about) {S}",
    "(nsubj <people>) mistook (obj {S}) (obl (case for) something/PRON (amod else)) <when?>",
    "(obl (case to) (nmod:poss my/PRON) surprise) (punct ,) (nsubj <doc>) opened (obl (case with) {S})",
    "(advcl (mark because) (nsubj time) (cop was) short/ADJ) (punct ,) (nsubj:pass {S}) (aux:pass was) discussed "
    "(advmod only "
    "(advmod briefly))",
    "(csubj writing (obl (case about) {S})) takes (obj patience (conj (cc and) time))",
    "(nsubj <people>) collected (obj notes (conj (punct ,) letters) (conj (cc and) clippings) (nmod (case about) {S}))",
    "(nsubj:pass (det the) <adj?> file (nmod (case on) {S})) (aux:pass was) moved (obl (case to) <place>) <when?>",
    "(csubj (obj what/PRON) (nsubj <people>) remembered (advmod best)) (cop was) {S}",
    "(obl (case after) (det a) while) (punct ,) (nsubj (det the) conversation) returned (obl (case to) {S})",
    "(nsubj {S}) (cop was) <verdict> (punct ,) (conj (cc but) (nsubj <people>) (aux did) (advmod not/PART) care/VERB)",
    "(nsubj <people>) knew (ccomp (mark that) (nsubj <doc>) (aux would) end (obl (case with) {S}))",
    "(nsubj <people>) asked (ccomp (advmod how) (mark to/PART) pronounce (obj {S}))",
    "(nsubj {S}) (cop is) (det the) (amod third) entry/NOUN (nmod (case in) <doc>)",
    "(obl (case instead (fixed of/ADP)) {S}) (punct ,) (nsubj <people>) described (obj (det the) weather)",
    "(nsubj rumours (nmod (case about) {S})) spread (advmod quickly) <when?>",
)
"""One entity."""
