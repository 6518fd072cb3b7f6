"""What GitHub does with an event, as far as our workflows go: inputs, secrets, conditions, steps in their shell.

After 'Workflow syntax' and 'Contexts' of its documentation. Nothing is fetched: of the actions, checkout copies the
repository, and the two for artifacts keep files and bring them.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from github_expressions import Loader, fill, holds, text

TYPES = {"string": (str, ""), "boolean": (bool, False)}
SHELLS = {None: ("bash", "-e"), "bash": ("bash", "--noprofile", "--norc", "-eo", "pipefail")}


def read(path):
    return yaml.load(path.read_text(), Loader)


def accepted(declared, given):
    """Inputs with their defaults; what is not declared, missing or of another type is an error, as it is on GitHub."""
    assert set(given) <= set(declared), f"not declared: {set(given) - set(declared)}"
    found = {}
    for name, item in declared.items():
        kind, nothing = TYPES[item.get("type", "string")]
        assert name in given or not item.get("required"), f"required: {name}"
        found[name] = given.get(name, item.get("default", nothing))
        assert isinstance(found[name], kind), f"of another type: {name}"
    return found


@dataclass
class Job:
    """How a job ended, and its steps by their names: success, failure or skipped."""

    conclusion: str = "success"
    group: str = ""  # of its concurrency
    steps: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    log: str = ""


@dataclass
class GitHub:
    """A repository. `committed` is what a job checks out, `path` the PATH of its steps, `scratch` where they work."""

    committed: Path
    scratch: Path
    path: str
    secrets: dict[str, str]
    environments: dict[str, dict[str, str]]
    artifacts: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def event(self, file, github, inputs=()):
        """The jobs of a workflow by name; none when it does not listen to this event."""
        workflow, self.artifacts, jobs = read(self.committed / ".github" / "workflows" / file), {}, {}
        listens = workflow["on"].get(github["event_name"], {"branches": []}) or {}
        branch = github["ref"].removeprefix("refs/heads/")
        if not any(fnmatch.fnmatch(branch, pattern) for pattern in listens.get("branches", ["*"])):
            return {}
        contexts = {"github": github, "inputs": accepted(listens.get("inputs", {}), dict(inputs))}
        # Those that need no other begin at once: one must not count on another that stands before it.
        for name, job in sorted(reversed(workflow["jobs"].items()), key=lambda item: "needs" in item[1]):
            good = "needs" not in job or jobs[job["needs"]].conclusion == "success"
            if not holds(job, contexts, good=good):
                jobs[name] = Job("skipped")
            elif "uses" in job:
                jobs[name] = self.call(job, contexts)
            else:
                jobs[name] = self._run(workflow, job, contexts, self.secrets)
        return jobs

    def call(self, job, contexts):
        """A job that is another workflow."""
        called = read(self.committed / job["uses"])
        interface, secrets = called["on"]["workflow_call"], self.secrets
        inputs = accepted(interface["inputs"], fill(job.get("with", {}), contexts))
        if job.get("secrets") != "inherit":
            secrets = fill(job.get("secrets", {}), {**contexts, "secrets": self.secrets})
            assert set(secrets) <= set(interface["secrets"]), (
                f"not declared: {set(secrets) - set(interface['secrets'])}"
            )
        (inner,) = called["jobs"].values()
        return self._run(called, inner, {"github": contexts["github"], "inputs": inputs}, secrets)

    def _run(self, workflow, job, contexts, secrets):
        ended = Job(group=fill(workflow.get("concurrency", {}).get("group", ""), contexts))
        environment = fill(job.get("environment", ""), contexts)
        full = {**contexts, "secrets": {**secrets, **(self.environments[environment] if environment else {})}}
        workspace = Path(tempfile.mkdtemp(dir=self.scratch))
        for step in job["steps"]:
            name = step.get("name") or step.get("uses", "run").partition("@")[0]
            ended.steps[name] = "skipped"
            if holds(step, contexts, good=ended.conclusion == "success"):
                works = (
                    self._use(step, full, workspace) if "uses" in step else self._shell(step, full, workspace, ended)
                )
                ended.steps[name] = "success" if works else "failure"
                ended.conclusion = ended.conclusion if works else "failure"
        return ended

    def _shell(self, step, contexts, workspace, ended):
        """A step of its own words: whether it ended with 0."""
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            script, summary = Path(folder, "script.sh"), Path(folder, "summary.md")
            script.write_text(fill(step["run"], contexts))
            own = {name: text(value) for name, value in fill(step.get("env", {}), contexts).items()}
            runners = {"PATH": self.path, "HOME": os.environ["HOME"], "CI": "true", "GITHUB_STEP_SUMMARY": str(summary)}
            command = [*SHELLS[step.get("shell")], str(script)]
            run = {"cwd": workspace, "env": {**runners, **own}, "capture_output": True, "text": True}
            done = subprocess.run(command, check=False, **run)
            ended.summary += summary.read_text() if summary.exists() else ""
        ended.log += done.stdout + done.stderr
        return done.returncode == 0

    def _use(self, step, contexts, workspace):
        """A step that is an action: whether it works."""
        action, given = step["uses"].partition("@")[0], fill(step.get("with", {}), contexts)
        if action == "actions/checkout":
            shutil.copytree(self.committed, workspace, dirs_exist_ok=True)
        elif action == "actions/upload-artifact":
            assert given["name"] not in self.artifacts, "an artifact of this name is there already"
            files = [workspace / line for line in given["path"].split() if (workspace / line).is_file()]
            if files:
                self.artifacts[given["name"]] = {file.name: file.read_bytes() for file in files}
            return bool(files) or given["if-no-files-found"] == "ignore"
        elif action == "actions/download-artifact":
            for name, content in self.artifacts.get(given["name"], {}).items():
                (workspace / name).write_bytes(content)
            return given["name"] in self.artifacts
        else:
            assert action == "actions/setup-python", action
        return True
