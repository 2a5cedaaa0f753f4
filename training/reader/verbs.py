"""The commonest English verbs of encyclopaedias and their past forms, to turn statements and questions round."""

# ruff: noqa: E501, SIM905 - a list of words reads best as words

from __future__ import annotations

from collections.abc import Mapping

_REGULAR = (
    "adopt air announce appear appoint attack attend award base capture cause change complete conclude conquer construct "
    "control convert cover create debut declare defeat defend deliver demand describe design destroy develop die discover "
    "direct divorce donate earn elect emerge enact end enter establish evolve expand explain explore face feature finish "
    "follow form found gain graduate help host identify improve include increase influence inherit introduce invade invent "
    "join kill land last launch live locate lower manage marry move name need obtain occupy offer open order organize "
    "originate paint pass perform play premiere present produce propose publish purchase reach receive record reduce refuse "
    "reject release remain remove replace report represent require resign retire return reveal sail score separate serve "
    "settle sign split start stop study succeed suffer support surrender survive tour train transfer travel turn visit "
    "vote want work"
).split()
_IRREGULAR = dict(
    pair.split(":")
    for pair in (
        "became:become began:begin bought:buy brought:bring built:build came:come caught:catch chose:choose drew:draw "
        "fell:fall felt:feel found:find fought:fight gave:give got:get grew:grow held:hold kept:keep knew:know led:lead "
        "left:leave lost:lose made:make met:meet paid:pay ran:run rose:rise said:say saw:see sent:send sold:sell "
        "spent:spend spoke:speak stood:stand struck:strike taught:teach told:tell took:take went:go won:win wrote:write"
    ).split()
)


def _past(verb: str) -> str:
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    return {"stop": "stopped", "transfer": "transferred", "control": "controlled"}.get(verb, f"{verb}ed")


BASES: Mapping[str, str] = {_past(verb): verb for verb in _REGULAR} | _IRREGULAR
"""Simple past to base form."""

PASTS: Mapping[str, str] = {base: past for past, base in BASES.items()}
"""Base form to simple past."""
