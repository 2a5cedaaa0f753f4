"""What llm gets from a server that its `extra-openai-models.yaml` names "team"; prints it as JSON."""

import json
import sys
from typing import Any

import llm

library: Any = llm
question = sys.argv[2]
model = library.get_model("team")
talk = model.conversation()
first = "".join(talk.prompt("What is the heart pulse?", key="none"))
answers = [
    model.prompt(question, stream=False, key="none", temperature=0.2).text(),
    "".join(model.prompt(question, key="none")),
]
print(json.dumps({"answers": answers, "talk": [first, talk.prompt("And the heart rate?", key="none").text()]}))
