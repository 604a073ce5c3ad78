"""`texapi batch`: every request is in the output or the errors file, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import csv
import errno
import itertools
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests import texapi_command
from tests.conftest import Endpoint
from tests.forked import Process
from tests.gateway import Fault, Gateway
from tests.waiting import wait_until
from texapi_core.cli.guard import DIFFERENT, FAILED, INTERRUPTED, STOPPED, USAGE_ERROR

_MAIN = "from texapi_core.cli import main; main()"


def request(number: int, **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"What is {number} + 1000?"}]
    body = {"model": "gpt-5.2", "messages": messages, "max_tokens": 50, **body}
    return {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


class Job:
    """A folder with the input of a batch, and what the command makes of it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.source, self.out = folder / "in.jsonl", folder / "out.jsonl"
        self.errors, self.started = folder / "out.errors.jsonl", folder / "out.jsonl.started"

    def write(self, *lines: Any) -> None:
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        self.source.write_text("".join(f"{text}\n" for text in texts))

    def run(self, *options: str, source: str = "in.jsonl") -> Any:
        arguments = ["batch", str(self.folder / source), str(self.out), *options]
        return texapi_command.run(arguments, env=self.environment)

    def begin(self, *options: str) -> Process:
        arguments = ("batch", "in.jsonl", "out.jsonl", *options)
        return Process(_MAIN, *arguments, cwd=self.folder, env={**os.environ, **self.environment})

    def lines(self, path: Path | None = None) -> list[dict[str, Any]]:
        """The lines of a file, without torn ones."""
        path = path or self.out
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if _is_json(line)]

    def answered(self) -> list[str]:
        return [line["custom_id"] for line in self.lines()]

    def failed(self) -> dict[str, str]:
        return {line["custom_id"]: line["error"]["code"] for line in self.lines(self.errors)}


@pytest.fixture
def job(tmp_path: Path, endpoint: Endpoint) -> Job:
    settings = {"BASE_URL": endpoint.base_url, "API_KEY": endpoint.api_key, "LIMITS": "none"}
    return Job(tmp_path, {f"TEXAPI_{name}": value for name, value in settings.items()})


def asked(gateway: Gateway) -> Counter[str]:
    """How often each request came, by its number."""
    texts = [received.body["messages"][-1]["content"] for received in gateway.requests]
    return Counter(f"r{text.split()[2]}" for text in texts)


def test_answers_are_in_openai_form(job: Job, gateway: Gateway) -> None:
    gateway.answer("Xin chào")
    job.write(request(7))

    result = job.run()

    assert result.exit_code == 0, result.output
    (line,) = job.lines()
    assert line["id"].startswith("batch_req_")
    assert line["custom_id"] == "r7"
    assert line["error"] is None
    assert line["response"]["status_code"] == 200
    assert line["response"]["request_id"].startswith("req_")
    assert line["response"]["body"]["object"] == "chat.completion"
    assert line["response"]["body"]["choices"][0]["message"]["content"] == "Xin chào"
    assert line["response"]["body"]["usage"]["total_tokens"] > 0
    assert "1 done, 0 failed, 0 waiting" in result.output
    assert sorted(path.name for path in job.folder.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_bodies_are_sent_as_they_are(job: Job, gateway: Gateway) -> None:
    """Tools, schemas and images too."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "What is 1 + 1000?"}, image]
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    bodies = [
        request(1, tools=[tool])["body"],
        request(2, messages=[{"role": "user", "content": content}])["body"],
        request(3, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})[
            "body"
        ],
    ]
    job.write(*({"custom_id": f"r{number}", "body": body} for number, body in enumerate(bodies)))

    assert job.run("--concurrency", "1").exit_code == 0
    assert [received.body for received in gateway.requests] == bodies


def test_model_replaces_that_of_the_lines(job: Job, gateway: Gateway) -> None:
    job.write(request(1), request(2, model=None))

    assert job.run("--model", "claude-sonnet-4-6").exit_code == 0
    assert {received.body["model"] for received in gateway.requests} == {"claude-sonnet-4-6"}


INVALID: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "line-1"),
    "no object": ("[1]", "line-1"),
    "deep": ("[" * 100_000, "line-1"),
    "no id": (json.dumps({"body": request(1)["body"]}), "line-1"),
    "a number as id": (json.dumps({**request(1), "custom_id": 4}), "line-1"),
    "another method": (json.dumps({**request(1), "method": "GET"}), "r1"),
    "another address": (json.dumps({**request(1), "url": "/v1/embeddings"}), "r1"),
    "no body": (json.dumps({"custom_id": "r1"}), "r1"),
    "no model": (json.dumps(request(1, model=None)), "r1"),
    "no messages": (json.dumps(request(1, messages=[])), "r1"),
    "a stream": (json.dumps(request(1, stream=True)), "r1"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_line_that_cannot_be_asked_costs_no_other(job: Job, gateway: Gateway, case: str) -> None:
    line, custom_id = INVALID[case]
    job.write(line, request(2))

    result = job.run()

    assert result.exit_code == DIFFERENT, result.output
    assert job.answered() == ["r2"]
    assert job.failed() == {custom_id: "invalid_line"}
    assert asked(gateway) == {"r2": 1}


def test_an_id_twice_is_an_error_and_asked_once(job: Job, gateway: Gateway) -> None:
    job.write(request(1), request(1), request(2))

    assert job.run().exit_code == DIFFERENT
    assert sorted(job.answered()) == ["r1", "r2"]
    assert job.failed() == {"r1": "invalid_line"}
    assert asked(gateway) == {"r1": 1, "r2": 1}
    assert job.run().exit_code == DIFFERENT
    assert asked(gateway) == {"r1": 1, "r2": 1}


def test_errors_are_in_their_file_and_asked_again_by_the_next_run(job: Job, gateway: Gateway) -> None:
    job.write(*map(request, range(5)))
    gateway.misbehave(Fault(status=400, code="no_good", message="This is no good."))

    result = job.run("--concurrency", "1")

    assert result.exit_code == DIFFERENT
    assert "4 done, 1 failed, 0 waiting" in result.output
    (line,) = job.lines(job.errors)
    assert line["custom_id"] == "r0"
    assert line["response"]["status_code"] == 400
    assert line["response"]["body"]
    assert "This is no good." in line["error"]["message"]

    assert job.run().exit_code == 0
    assert sorted(job.answered()) == [f"r{number}" for number in range(5)]
    assert asked(gateway) == {"r0": 2, "r1": 1, "r2": 1, "r3": 1, "r4": 1}
    assert not job.errors.exists()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(status=402), "Top up the balance"),
        (Fault(status=401), "Check the key"),
        (Fault(status=429, code="daily_spending_cap_exceeded", error_type="daily_cap"), "limit"),
    ],
    ids=["balance", "key", "daily cap"],
)
def test_an_error_of_the_account_stops(job: Job, gateway: Gateway, fault: Fault, words: str) -> None:
    """What was not asked is no failure: the next run asks it."""
    job.write(*map(request, range(50)))
    gateway.misbehave(fault, 4)

    result = job.run("--concurrency", "4", "--max-retries", "0")

    assert result.exit_code == STOPPED, result.output
    assert words in result.output
    assert len(gateway.requests) <= 8
    assert job.failed() == {}
    assert job.run().exit_code == 0
    assert sorted(job.answered()) == sorted(f"r{number}" for number in range(50))


def test_max_cost_holds_over_runs(job: Job, gateway: Gateway) -> None:
    job.write(*(request(number, model="gpt-5-mini", max_tokens=20) for number in range(200)))
    prices = {"models": {"gpt-5-mini": {"input": 1000, "output": 1000}}}
    file = job.folder / "prices.json"
    file.write_text(json.dumps(prices))
    job.environment["TEXAPI_PRICES"] = str(file)

    result = job.run("--max-cost", "0.5")

    assert result.exit_code == STOPPED, result.output
    spent = sum(line["cost_usd"] for line in job.lines())
    assert 0.3 < spent <= 0.5  # one call may take 0.14 USD
    count = len(gateway.requests)
    assert job.run("--max-cost", "0.5").exit_code == STOPPED
    assert len(gateway.requests) <= count + 2
    assert sum(line["cost_usd"] for line in job.lines()) <= 0.5
    assert job.run("--max-cost", "50").exit_code == 0
    assert len(job.answered()) == len(gateway.requests) == 200


def kill_three_times(job: Job, *options: str) -> None:
    """Run until more answers are there, kill it, and tear a line."""
    for _ in range(3):
        before = len(job.answered())
        process = job.begin("--concurrency", "20", *options)
        wait_until(partial(_has_lines, job.out, before + 40))
        process.kill()
        process.communicate()
        with job.out.open("ab") as file:
            file.write(b'{"id": "batch_req_0123", "custom_id": "r5')


def _has_lines(path: Path, count: int) -> bool:
    return path.exists() and len(path.read_bytes().splitlines()) > count


@pytest.mark.parametrize(
    ("options", "count"),
    [
        pytest.param((), 600, id="asked again", marks=pytest.mark.combination),
        pytest.param(("--skip-in-doubt",), 600, id="skipped", marks=pytest.mark.combination),
        pytest.param(("--skip-in-doubt",), 200, id="few, skipped"),
    ],
)
def test_kill_nine_loses_nothing(job: Job, gateway: Gateway, options: tuple[str, ...], count: int) -> None:
    """At most 20 calls per kill are in doubt."""
    job.write(*map(request, range(count)))
    every = {f"r{number}" for number in range(count)}
    kill_three_times(job, *options)
    ended = job.begin("--concurrency", "20", *options)
    _, text = ended.communicate()

    answered, failed = job.answered(), job.failed()
    assert len(answered) == len(set(answered)), "answers twice"
    assert set(answered) | failed.keys() == every, "missing"
    doubles = sum(count - 1 for count in asked(gateway).values())
    if options:
        assert doubles == 0
        assert set(failed.values()) <= {"in_doubt"}
        assert len(failed) <= 60
        assert ended.returncode == (DIFFERENT if failed else 0), text
    else:
        assert doubles <= 60
        assert failed == {}
        assert ended.returncode == 0, text


def test_what_timed_out_is_in_doubt(job: Job, gateway: Gateway) -> None:
    job.write(request(1), request(2))
    gateway.misbehave(Fault(delay=30))

    assert job.run("--timeout", "1", "--concurrency", "1").exit_code == DIFFERENT
    assert job.failed() == {"r1": "TexAPITimeoutError"}
    assert job.run("--skip-in-doubt").exit_code == DIFFERENT
    assert job.failed() == {"r1": "in_doubt"}
    assert asked(gateway) == {"r1": 1, "r2": 1}
    assert job.run().exit_code == 0
    assert not job.started.exists()


def test_ctrl_c_keeps_what_came(job: Job, gateway: Gateway) -> None:
    job.write(*map(request, range(2_000)))
    process = job.begin("--concurrency", "8")
    wait_until(lambda: _has_lines(job.out, 20))

    process.send_signal(signal.SIGINT)
    _, text = process.communicate()

    assert process.returncode == INTERRUPTED, text
    assert text.startswith("Interrupted. ")
    assert "Traceback" not in text
    answered = job.answered()
    assert len(answered) > 20
    assert len(answered) >= len(gateway.requests) - 8


def test_two_runs_on_one_output_are_refused(job: Job, gateway: Gateway) -> None:
    job.write(*map(request, range(2_000)))
    process = job.begin("--concurrency", "1")
    wait_until(lambda: job.out.exists() and job.out.stat().st_size)

    result = job.run()

    assert result.exit_code == USAGE_ERROR
    assert "Another run writes to" in result.output
    process.kill()
    process.communicate()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
@pytest.mark.parametrize("option", [(), ("--errors", "pipe")])
def test_an_output_that_cannot_be_read_again_is_refused(
    job: Job, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]
) -> None:
    """Reading `/dev/full` never ends, and a pipe forgets what it has had."""
    job.write(request(1))
    monkeypatch.chdir(job.folder)
    os.mkfifo(job.folder / "pipe")
    if not option:
        job.out = job.folder / "pipe"

    result = job.run(*option)

    assert (result.exit_code, gateway.requests) == (USAGE_ERROR, [])
    assert "pipe is a device or a pipe" in result.stderr
    assert "Traceback" not in result.output
    assert not (job.folder / "pipe.started").exists()


@pytest.mark.parametrize("room", [0, 2**16, 2**16 + 1, 2**16 + 700, 2**16 + 5_000])
def test_a_full_disk_in_the_middle_loses_nothing(
    job: Job, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """A part of a line may be written before the disk is full, which had room for 64 KiB at first."""
    job.write(*map(request, range(60)))
    write, left = os.write, room

    def write_to_full_disk(descriptor: int, data: Any) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write(descriptor, data[:left])
        left -= written
        return written

    with monkeypatch.context() as full:
        full.setattr("texapi_core.bulk.output.os.write", write_to_full_disk)
        result = job.run("--concurrency", "5")

    assert result.exit_code == FAILED, result.output
    assert "No space left on device" in result.output
    assert "Traceback" not in result.output
    assert len(gateway.requests) <= len(job.lines()) + 5
    assert job.run().exit_code == 0
    assert sorted(job.answered()) == sorted(f"r{number}" for number in range(60))
    assert asked(gateway).total() <= 60 + 5


def test_on_a_full_disk_nothing_is_asked(job: Job, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the lines of the calls begun still fit: their answers would be lost, run after run."""
    job.write(request(1))
    write = os.write

    def write_to_full_disk(descriptor: int, data: Any) -> int:
        if len(data) > 300:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    with monkeypatch.context() as full:
        full.setattr("texapi_core.bulk.output.os.write", write_to_full_disk)
        assert job.run().exit_code == FAILED
    assert not gateway.requests
    assert job.run().exit_code == 0


@pytest.mark.parametrize(
    "torn",
    [
        pytest.param(lambda lines: lines[:-40], id="the last line"),
        pytest.param(lambda lines: lines[:-1], id="the last line end"),
        pytest.param(lambda lines: lines[:-40] + b"\n" + lines[-200:-1] + b"\n", id="in the middle"),
        pytest.param(lambda lines: lines + bytes(300), id="zeros after a power cut"),
        pytest.param(lambda lines: lines + b"{", id="one character"),
    ],
)
def test_torn_lines_are_harmless(job: Job, torn: Callable[[bytes], bytes]) -> None:
    job.write(*map(request, range(5)))
    assert job.run().exit_code == 0
    job.out.write_bytes(torn(job.out.read_bytes()))

    result = job.run()

    if result.exit_code == USAGE_ERROR:  # zeros are not the start of a line of ours
        assert "holds something else than answers" in result.output
        return
    assert result.exit_code == 0, result.output
    assert set(job.answered()) == {f"r{number}" for number in range(5)}


def _is_json(line: bytes) -> bool:
    try:
        return bool(json.loads(line))
    except ValueError:
        return False


def test_a_call_that_ends_by_itself_is_in_the_errors_file(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in doubt: it may have been charged."""

    async def acomplete(*_: Any) -> Any:
        raise asyncio.CancelledError

    job.write(*map(request, range(3)))
    with monkeypatch.context() as patch:
        patch.setattr("texapi_core.bulk.batch.acomplete", acomplete)
        assert job.run().exit_code == DIFFERENT
    assert job.failed() == dict.fromkeys(("r0", "r1", "r2"), "CallEndedError")

    assert job.run("--skip-in-doubt").exit_code == DIFFERENT
    assert job.failed() == dict.fromkeys(("r0", "r1", "r2"), "in_doubt")


@pytest.mark.parametrize(
    "content", ['{"a": 1}\n', '{"a": 1}', "a,b\n1,2\n", "text", json.dumps(request(1)) + "\n"]
)
@pytest.mark.parametrize("name", ["out.jsonl", "out.errors.jsonl"])
def test_other_files_are_not_overwritten(job: Job, gateway: Gateway, name: str, content: str) -> None:
    job.write(request(1))
    (job.folder / name).write_text(content)

    assert job.run().exit_code == USAGE_ERROR
    assert (job.folder / name).read_text() == content
    assert not gateway.requests


def test_rows_of_a_csv_fill_a_template(job: Job, gateway: Gateway) -> None:
    with (job.folder / "rows.csv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["no", "tên"], ["a1", 'Trợ lý "số 1"\nhai dòng'], ["a2", "x" * 200_000]])
    options = ["--model", "gpt-5.2", "--prompt", "{{{tên}}}", "--system", "Be brief.", "--id", "no"]

    result = job.run(*options, "--max-tokens", "9", "--concurrency", "1", source="rows.csv")

    assert result.exit_code == 0, result.output
    assert job.answered() == ["a1", "a2"]
    body = gateway.requests[0].body
    assert body == {
        "model": "gpt-5.2",
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": '{Trợ lý "số 1"\nhai dòng}'},
        ],
    }


def test_rows_of_a_parquet_fill_a_template(job: Job, gateway: Gateway) -> None:
    table = pyarrow.table({"number": list(range(2_500)), "other": [None] * 2_500})
    pyarrow.parquet.write_table(table.slice(0, 30), job.folder / "rows.parquet")

    result = job.run("--model", "gpt-5.2", "--prompt", "What is {number} + 1000?", source="rows.parquet")

    assert result.exit_code == 0, result.output
    assert sorted(job.answered()) == sorted(f"row-{number}" for number in range(1, 31))
    assert asked(gateway) == {f"r{number}": 1 for number in range(30)}


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("rows.csv", [], "needs a --prompt, such as"),
        ("rows.csv", ["--prompt", "{a}"], "Which model?"),
        ("rows.csv", ["--model", "m", "--prompt", "{b}"], "There is no column `b`; there are: a."),
        ("rows.csv", ["--model", "m", "--prompt", "{a}", "--id", "c"], "There is no column `c`"),
        ("in.jsonl", ["--model", "m", "--prompt", "{a}"], "--prompt is for the rows"),
        ("none.jsonl", [], "cannot be read: No such file"),
        (".", [], "cannot be read: Is a directory"),
        ("latin.csv", ["--model", "m", "--prompt", "{a}"], "cannot be read as CSV in UTF-8"),
        ("no.parquet", ["--model", "m", "--prompt", "{a}"], "cannot be read as Parquet"),
        ("in.jsonl", ["--errors", "out.jsonl"], "must be four files"),
        ("in.jsonl", ["--max-cost", "nan"], "--max-cost"),
        ("in.jsonl", ["--limits", "mysql://"], "`limits` is"),
    ],
)
def test_what_cannot_be_understood_asks_nothing(
    job: Job, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, source: str, options: list[str], words: str
) -> None:
    job.write(request(1))
    (job.folder / "rows.csv").write_text("a\n1\n")
    (job.folder / "latin.csv").write_bytes(b"a\n\xff\n")
    (job.folder / "no.parquet").write_bytes(b"no")
    monkeypatch.chdir(job.folder)

    result = job.run(*options, source=source)

    assert result.exit_code == USAGE_ERROR, result.output
    assert words in " ".join(result.output.split())
    assert not gateway.requests


_FILES = ("in.jsonl", "out.jsonl", "out.errors.jsonl", "out.jsonl.started")


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(_FILES, 2)))
@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_no_file_of_a_batch_is_another(job: Job, gateway: Gateway, one: str, other: str, link: str) -> None:
    job.write(request(1))
    if other != "in.jsonl" and one != "in.jsonl":
        (job.folder / other).write_text('{"id": "batch_req_')
    if one == "in.jsonl":
        job.source.rename(job.folder / other)
    getattr(job.folder / one, link)(job.folder / other)
    content = (job.folder / other).read_bytes()

    result = job.run()

    assert result.exit_code == USAGE_ERROR, result.output
    assert "must be four files" in result.output
    assert (job.folder / other).read_bytes() == content
    assert not gateway.requests


def test_the_calls_begun_are_no_errors_file(job: Job, gateway: Gateway) -> None:
    """Also where the file is not there yet, by a link that leads nowhere."""
    job.write(request(1))
    (job.folder / "link").symlink_to(job.started)

    for name in ("out.jsonl.started", "link", "../" + job.folder.name + "/out.jsonl.started"):
        result = job.run("--errors", str(job.folder / name))
        assert result.exit_code == USAGE_ERROR, result.output
    assert not job.started.exists()
    assert not gateway.requests


def test_a_row_of_other_cells_costs_no_other(job: Job) -> None:
    (job.folder / "rows.csv").write_text("a,b\n1,2\n1,2,3\n\n3,4\n")

    result = job.run("--model", "gpt-5.2", "--prompt", "{a} {b}", source="rows.csv")

    assert result.exit_code == DIFFERENT, result.output
    assert sorted(job.answered()) == ["row-1", "row-3"]
    assert job.failed() == {"row-2": "invalid_line"}


def test_without_a_key_nothing_is_made(job: Job) -> None:
    job.write(request(1))
    del job.environment["TEXAPI_API_KEY"]

    result = job.run()

    assert result.exit_code == USAGE_ERROR
    assert "Set `TEXAPI_API_KEY`" in result.output
    assert not job.out.exists()


def test_a_rate_limit_is_waited_for(job: Job, gateway: Gateway) -> None:
    """Each call may be refused as often as all of them together, and costs no line."""
    job.write(*map(request, range(10)))
    gateway.misbehave(Fault(status=429, headers={"retry-after": "0.1"}), 5)

    result = job.run("--limits", "auto", "--concurrency", "10")

    assert result.exit_code == 0, result.output
    assert len(job.answered()) == 10
    assert len(gateway.requests) == 15


def test_calls_are_in_the_ledger(job: Job) -> None:
    job.write(*map(request, range(20)))
    job.environment["TEXAPI_USAGE_LEDGER"] = f"sqlite:///{job.folder}/usage.db"

    assert job.run().exit_code == 0

    usage = texapi_command.run(["usage", "--format", "json"], env=job.environment)
    assert json.loads(usage.stdout)[0]["calls"] == 20
