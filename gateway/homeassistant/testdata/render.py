# Renders templates as Home Assistant does: in Jinja's sandbox, with the functions and variables that
# it gives them, and without blanks around the result. Reads a list of {"template", "variables"},
# writes the list of results. A payload becomes value and value_json.
import datetime
import json
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment


class Entity:
    def __init__(self, attributes):
        self.attributes = attributes


environment = ImmutableSandboxedEnvironment()
environment.globals["utcnow"] = lambda: datetime.datetime.now(datetime.timezone.utc)

results = []
for case in json.load(sys.stdin):
    variables = case["variables"]
    if "attributes" in variables:
        variables["this"] = Entity(variables.pop("attributes"))
    if "payload" in variables:
        variables["value"] = variables.pop("payload")
        try:
            variables["value_json"] = json.loads(variables["value"])
        except ValueError:
            pass
    results.append(environment.from_string(case["template"]).render(variables).strip())
json.dump(results, sys.stdout)
