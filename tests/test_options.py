"""The %%ddp line: what it means, and what is said where it means nothing."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddp_magic.errors import OptionError
from ddp_magic.line import launcher_flags
from ddp_magic.line.counts import check_ranks
from ddp_magic.line.splitting import pieces, split
from ddp_magic.masking import mask_line
from ddp_magic.options import (
    Options,
    Override,
    flags,
    help_text,
    markdown_table,
    parse,
    torchrun_argv,
)


def overrides(**pairs: str) -> dict[str, Any]:
    return {"overrides": tuple(Override(target=k, text=v) for k, v in pairs.items())}


@dataclass(frozen=True)
class Accepted:
    line: str
    means: dict[str, Any]


ACCEPTED = [
    Accepted("", {}),
    Accepted("   ", {}),
    Accepted("--gpus 2", {"gpus": 2}),
    Accepted("-g 2", {"gpus": 2}),
    Accepted("-g2", {"gpus": 2}),
    Accepted("--gpus=2", {"gpus": 2}),
    Accepted("--gpus all", {"gpus": "all"}),
    Accepted("--gpus 0,1", {"devices": ("0", "1")}),
    Accepted("--devices 2,0", {"devices": ("2", "0")}),
    Accepted("--devices 2, 0", {"devices": ("2", "0")}),
    Accepted("--devices cuda:1", {"devices": ("1",)}),
    Accepted("--devices GPU-8a4f,MIG-11", {"devices": ("GPU-8a4f", "MIG-11")}),
    Accepted("--nproc 4", {"nproc": 4}),
    Accepted("-n 4", {"nproc": 4}),
    Accepted("--nproc-per-node 4", {"nproc": 4}),
    Accepted("--nproc_per_node=4", {"nproc": 4}),
    Accepted("--gpus 2 --nproc 2", {"gpus": 2, "nproc": 2}),
    Accepted("--gpus 2 --devices 0,3", {"gpus": 2, "devices": ("0", "3")}),
    Accepted("-o history,model", {"output": ("history", "model")}),
    Accepted("-o history, model", {"output": ("history", "model")}),
    Accepted("-o history , model", {"output": ("history", "model")}),
    Accepted("-o a,a", {"output": ("a",)}),
    Accepted("--output=größe", {"output": ("größe",)}),
    Accepted("--rank 0,1", {"rank": (0, 1)}),
    Accepted("--rank all", {"rank": "all"}),
    Accepted("--restarts 3", {"restarts": 3}),
    Accepted("--timeout 90", {"timeout": 90.0}),
    Accepted("--timeout 30m", {"timeout": 1800.0}),
    Accepted("--timeout 1h30m", {"timeout": 5400.0}),
    Accepted("--timeout 1.5h", {"timeout": 5400.0}),
    Accepted("--timeout 2m30s", {"timeout": 150.0}),
    Accepted("--grace 0", {"grace": 0.0}),
    Accepted("--env A=1 --env B='x y'", {"env": (("A", "1"), ("B", "x y"))}),
    Accepted("--env A=", {"env": (("A", ""),)}),
    Accepted("--env A=b=c", {"env": (("A", "b=c"),)}),
    Accepted("--keep", {"keep": ""}),
    Accepted("--keep runs/a", {"keep": "runs/a"}),
    Accepted("--keep 'my runs'", {"keep": "my runs"}),
    Accepted("--keep -o a", {"keep": "", "output": ("a",)}),
    Accepted("--keep lr=3", {"keep": "", **overrides(lr="3")}),
    Accepted("--keep lr = 3", {"keep": "", **overrides(lr="3")}),
    Accepted("--keep=a=b", {"keep": "a=b"}),
    Accepted("--show", {"show": True}),
    Accepted("--ui plain", {"ui": "plain"}),
    Accepted('--torchrun "--role w"', {"torchrun": ("--role=w",)}),
    Accepted('--torchrun=""', {}),
    Accepted("epochs=5 lr=3e-4", overrides(epochs="5", lr="3e-4")),
    Accepted("lr = 3e-4", overrides(lr="3e-4")),
    Accepted("lr= 3e-4", overrides(lr="3e-4")),
    Accepted("lr =3e-4", overrides(lr="3e-4")),
    Accepted("lr = -3e-4 b=1", overrides(lr="-3e-4", b="1")),
    Accepted("name='a b'", overrides(name="'a b'")),
    Accepted('name="it\'s"', overrides(name='"it\'s"')),
    Accepted(r"name='it\'s'", overrides(name=r"'it\'s'")),
    Accepted("name='# no note'", overrides(name="'# no note'")),
    Accepted("color=#fff", overrides(color="#fff")),
    Accepted("name=''", overrides(name="''")),
    Accepted("cfg={'a': 1}", overrides(cfg="{'a': 1}")),
    Accepted("xs=[1, 2] b=3", overrides(xs="[1, 2]", b="3")),
    Accepted("x={f(a, b) + 1}", overrides(x="{f(a, b) + 1}")),
    Accepted("lr=1e-3,3e-4", overrides(lr="1e-3,3e-4")),
    Accepted("lr=1e-3, 3e-4", overrides(lr="1e-3,3e-4")),
    Accepted("xs=(1, 2), (3, 4)", overrides(xs="(1, 2),(3, 4)")),
    Accepted("Trainer.lr=1", overrides(**{"Trainer.lr": "1"})),
    Accepted(
        "\N{MICRO SIGN}=1", {"overrides": (Override(target="\N{GREEK SMALL LETTER MU}", text="1"),)}
    ),
    Accepted("url=http://a/?x=1", overrides(url="http://a/?x=1")),
    Accepted("--gpus 2  # the best, so far", {"gpus": 2, "note": "the best, so far"}),
    Accepted("# only a note", {"note": "only a note"}),
    Accepted("-n 2 \\\n   lr=3 \\\n b=4", {"nproc": 2, **overrides(lr="3", b="4")}),
    Accepted("-n 2 \\", {"nproc": 2}),
    Accepted("xs=[1, \\\n 2]", overrides(xs="[1, 2]")),
    Accepted("a=1 # one \\\n b=2", {"note": "one \\", **overrides(a="1", b="2")}),
]


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: repr(case.line))
def test_a_line_means(case: Accepted) -> None:
    options = parse(case.line)

    default = Options()
    given = {
        field.name: getattr(options, field.name)
        for field in fields(Options)
        if getattr(options, field.name) != getattr(default, field.name)
    }
    assert given == case.means


@dataclass(frozen=True)
class Refused:
    line: str
    message: str


CPU = "--nproc 2 --env CUDA_VISIBLE_DEVICES= to train on the CPU."
NUMBERS = (
    "Keep one of them: --gpus or --devices for GPUs, --nproc to take the CPU where GPUs are "
    "missing."
)
NO_OPTION = "is not an option, and values are overridden as name=value."
COMMAS = "Overrides are separated by spaces, not commas."
REFUSED = [
    Refused("--epochs 5", f"--epochs {NO_OPTION} Write `%%ddp epochs=5`."),
    Refused("--epochs=5", f"--epochs {NO_OPTION} Write `%%ddp epochs=5`."),
    Refused(
        "--gpus 2 --epochs 5 -o a", f"--epochs {NO_OPTION} Write `%%ddp --gpus 2 epochs=5 -o a`."
    ),
    Refused("--lr -0.1", f"--lr {NO_OPTION} Write `%%ddp lr=-0.1`."),
    Refused("-lr 0.1", f"-lr {NO_OPTION} Write `%%ddp lr=0.1`."),
    Refused("--learning-rate 0.1", f"--learning-rate {NO_OPTION} Write `%%ddp learning_rate=0.1`."),
    Refused("--amp", f"--amp {NO_OPTION} Write `%%ddp amp=True`."),
    Refused("--amp lr=3", f"--amp {NO_OPTION} Write `%%ddp amp=True lr=3`."),
    Refused("--amp lr = 3", f"--amp {NO_OPTION} Write `%%ddp amp=True lr = 3`."),
    Refused("--wait", f"--wait {NO_OPTION} Write `%%ddp wait=True`."),
    Refused("--gpu 2", "--gpu is not an option; --gpus is. Write `%%ddp --gpus 2`."),
    Refused("--gpu=2", "--gpu is not an option; --gpus is. Write `%%ddp --gpus=2`."),
    Refused("--ouput a", "--ouput is not an option; --output is. Write `%%ddp --output a`."),
    Refused(
        "--2fast",
        "--2fast is not an option of %%ddp. %%ddp? shows all options; values are given as "
        "name=value.",
    ),
    Refused(
        "--max-restarts 3",
        "--max-restarts is a flag of torch.distributed.run and not of %%ddp. Write --restarts "
        "instead.",
    ),
    Refused(
        "--monitor-interval 3 -n 2",
        "--monitor-interval is a flag of torch.distributed.run and not of %%ddp. "
        'Write `%%ddp --torchrun "--monitor-interval=3" -n 2`.',
    ),
    Refused(
        "--env HF_TOKEN=hf_abc --epochs 5",
        f"--epochs {NO_OPTION} Write `%%ddp --env HF_TOKEN=*** epochs=5`.",
    ),
    Refused("--gpus", "--gpus needs a value. Write `%%ddp --gpus 2`."),
    Refused("--gpus -o a", "--gpus needs a value. Write `%%ddp --gpus 2 -o a`."),
    Refused("--ui", "--ui needs a value. Write `%%ddp --ui widget`."),
    Refused(
        "--torchrun --role=w", '--torchrun needs a value. Write `%%ddp --torchrun "--role=w"`.'
    ),
    Refused("--show=1", "--show takes no value. Write `%%ddp --show`."),
    Refused(
        "--gpus 0",
        "--gpus 0 asks for no worker: it is a number of GPUs, not a name. Write --devices 0 for "
        f"GPU 0, or {CPU}",
    ),
    Refused(
        "--gpus -1",
        "--gpus takes a number of GPUs or all, not '-1'. Write --gpus 2, or --devices 0,2 to name "
        "them.",
    ),
    Refused(
        "--gpus two",
        "--gpus takes a number of GPUs or all, not 'two'. Write --gpus 2, or --devices 0,2 to name "
        "them.",
    ),
    Refused(
        "--nproc -1", "--nproc takes a number of workers from 1 on, not '-1'. Write --nproc 2."
    ),
    Refused("--nproc 0", "--nproc takes a number of workers from 1 on, not '0'. Write --nproc 2."),
    Refused(
        "--nproc two", "--nproc takes a number of workers from 1 on, not 'two'. Write --nproc 2."
    ),
    Refused("--nproc auto", "--nproc takes a number, not 'auto'. Write --gpus all for all GPUs."),
    Refused(
        "--devices 0,0",
        "--devices names GPU 0 twice, and a GPU takes one worker. Write --devices 0.",
    ),
    Refused(
        "--devices 1,00,0",
        "--devices names GPU 0 twice, and a GPU takes one worker. Write --devices 1,0.",
    ),
    Refused("--devices cpu", f"--devices names GPUs. Write {CPU}"),
    Refused(
        "--devices all",
        "--devices names GPUs one by one. Write --gpus all for all of them.",
    ),
    Refused(
        "--devices 0,-1",
        "--devices takes GPUs as 0,2 or GPU-8a4f…, and '-1' is none. Write --devices 0,2.",
    ),
    Refused(
        "--gpus 2 --gpus 3",
        "--gpus is given twice, the second time as `--gpus 3`. Keep one of them.",
    ),
    Refused("-o a -o b", "--output is given twice, the second time as `-o b`. Keep one of them."),
    Refused(
        "--show --show", "--show is given twice, the second time as `--show`. Keep one of them."
    ),
    Refused(
        "--gpus 0,1 --devices 0",
        "--gpus with a list and --devices both name GPUs. Keep --devices alone.",
    ),
    Refused(
        "--gpus 2 --nproc 4",
        f"--gpus 2 and --nproc 4 ask for different numbers of workers. {NUMBERS}",
    ),
    Refused(
        "--gpus all --nproc 4",
        f"--gpus all and --nproc 4 ask for different numbers of workers. {NUMBERS}",
    ),
    Refused(
        "--devices 0,2 --nproc 4",
        f"--devices 0,2 and --nproc 4 ask for different numbers of workers. {NUMBERS}",
    ),
    Refused(
        "-o trainer.model",
        "--output takes variables, and trainer.model is an attribute. Bind it in the cell "
        "(model = trainer.model) and write --output model.",
    ),
    Refused(
        "-o a-b",
        "--output takes names of variables, and 'a-b' is none. Write --output history,model.",
    ),
    Refused("-o ''", "--output names no variable. Write --output history,model."),
    Refused(
        "--rank -1", "--rank takes ranks from 0 on, each once, or all, not '-1'. Write --rank 0,1."
    ),
    Refused(
        "--rank 0,0",
        "--rank takes ranks from 0 on, each once, or all, not '0,0'. Write --rank 0,1.",
    ),
    Refused("--restarts x", "--restarts takes a number from 0 on, not 'x'. Write --restarts 3."),
    Refused(
        "--timeout soon",
        "--timeout: 'soon' is not a time. Write seconds as 90, or hours and minutes as 30m or "
        "1h30m.",
    ),
    Refused(
        "--grace 1h30",
        "--grace: '1h30' is not a time. Write seconds as 90, or hours and minutes as 30m or 1h30m.",
    ),
    Refused("--timeout 0", "--timeout 0 leaves no time. Write --timeout 30m, or leave it out."),
    Refused(
        "--env HF_TOKEN",
        "--env takes NAME=VALUE, and HF_TOKEN is not of that form. Write --env OMP_NUM_THREADS=4, "
        "without spaces around the sign.",
    ),
    Refused(
        "--env sk-123-a-secret-given-bare",
        "--env takes NAME=VALUE, and what stands there is not of that form. "
        "Write --env OMP_NUM_THREADS=4, without spaces around the sign.",
    ),
    Refused(
        "--env RANK=3",
        "--env RANK cannot be set: the launcher gives it to each worker. Leave it out.",
    ),
    Refused(
        "--env MASTER_ADDR=x",
        "--env MASTER_ADDR cannot be set: the launcher gives it to each worker. Leave it out.",
    ),
    Refused(
        "--ui fancy",
        "--ui takes widget, html or plain, not 'fancy'. Write --ui plain, or leave it out: it is "
        "chosen by itself.",
    ),
    Refused("lr0.5", "'lr0.5' is neither an option nor an override. Write `%%ddp lr=0.5`."),
    Refused("lr:0.5", "'lr:0.5' is neither an option nor an override. Write `%%ddp lr=0.5`."),
    Refused(
        "fast",
        "'fast' is neither an option nor an override. Write name=value, as in lr=3e-4.",
    ),
    Refused("gpus 2", "'gpus' is neither an option nor an override. Write `%%ddp --gpus 2`."),
    Refused(
        "lr == 3", "'lr' is neither an option nor an override. Write name=value, as in lr=3e-4."
    ),
    Refused(
        "--gpus 2 cfg['optim'][0].lr=3 amp=true",
        "cfg['optim'][0].lr is a path, and paths are written with dots. "
        "Write `%%ddp --gpus 2 cfg.optim.0.lr=3 amp=true`.",
    ),
    Refused(
        "cfg['api_key']=abc",
        "cfg['api_key'] is a path, and paths are written with dots. Write `%%ddp cfg.api_key=***`.",
    ),
    Refused(
        "cfg[a]=3",
        "'cfg[a]=3' is neither an option nor an override. Write name=value, as in lr=3e-4.",
    ),
    Refused("lr=", "lr= has no value. Write lr=value, or lr='' for empty text."),
    Refused("lr= -o a", "lr= has no value. Write lr=value, or lr='' for empty text."),
    Refused("lr = b=3", "lr= has no value. Write lr=value, or lr='' for empty text."),
    Refused("class=3", "class is a keyword of Python and names no variable. Write another name."),
    Refused("epochs=3, lr=0.1", f"{COMMAS} Write `%%ddp epochs=3 lr=0.1`."),
    Refused("epochs=3,lr=0.1 -n 2", f"{COMMAS} Write `%%ddp epochs=3 lr=0.1 -n 2`."),
    Refused("epochs=3,", f"{COMMAS} Write `%%ddp epochs=3`."),
    Refused(
        "name=don't",
        "`name=don't` opens a quote (') that is never closed. Close it, or put text that contains "
        "a quote in quotes of the other kind.",
    ),
    Refused(
        "xs=[1, 2",
        "`xs=[1, 2` opens a bracket that is never closed. Add the missing `]`, or put text that "
        "contains a bracket in quotes.",
    ),
    Refused(
        "xs=1] b=2",
        "The `]` in `xs=1] b=2` closes no bracket. Remove it, or put text that contains a bracket "
        "in quotes.",
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: repr(case.line))
def test_a_line_is_refused_with_what_to_write_instead(case: Refused) -> None:
    with pytest.raises(OptionError) as caught:
        parse(case.line)

    assert str(caught.value) == case.message


@pytest.mark.parametrize(
    "case",
    [c for c in REFUSED if "`%%ddp " in c.message and "***" not in c.message],
    ids=lambda case: repr(case.line),
)
def test_the_corrected_line_is_accepted(case: Refused) -> None:
    corrected = case.message.split("`%%ddp ")[1].rsplit("`", 1)[0]

    assert parse(corrected)


@given(st.text(alphabet="ab=-,'\"[]{}()# \\\n.0$—"))
def test_any_line_is_read_or_refused_in_two_sentences(line: str) -> None:
    try:
        options = parse(line)
    except OptionError as error:
        message = str(error)
    else:
        message = "It was read. Nothing is said."
        assert all(override.text for override in options.overrides)

    assert message.endswith(".")
    assert ". " in message


@given(st.text())
def test_splitting_keeps_all_but_space_and_notes(line: str) -> None:
    try:
        words, _ = split(line)
    except OptionError:
        return
    kept = "".join(words)
    rest = iter(line)

    assert all(character in rest for character in kept if not character.isspace())


@pytest.mark.parametrize(
    ("text", "split_at_commas"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("[1, 2],'a,b',(3,),{x, y}", ["[1, 2]", "'a,b'", "(3,)", "{x, y}"]),
        ("a,", ["a", ""]),
    ],
)
def test_commas_inside_brackets_and_quotes_do_not_separate(
    text: str, split_at_commas: list[str]
) -> None:
    assert pieces(text) == split_at_commas


def test_a_rank_beyond_the_workers_is_refused_when_their_number_is_known() -> None:
    check_ranks(parse("--rank 0,1"), 2)
    check_ranks(parse("--rank all"), 1)
    check_ranks(parse(""), 1)
    with pytest.raises(OptionError) as caught:
        check_ranks(parse("--rank 0,2"), 2)

    assert str(caught.value) == (
        "--rank 2 is not one of this run's 2 workers, whose ranks are 0 to 1. "
        "Write --rank 1, or --rank all."
    )


PASSED = [
    ("--monitor-interval 0.5", ("--monitor-interval=0.5",)),
    ("--monitor_interval=0.5 --role w", ("--monitor-interval=0.5", "--role=w")),
    ("--mon 2", ("--monitor-interval=2",)),
    ("--numa-binding node", ("--numa-binding=node",)),
    ("--start_method spawn", ("--start-method=spawn",)),
    ("--event-log-handler console", ("--event-log-handler=console",)),
]


@pytest.mark.parametrize(("given_flags", "canonical"), PASSED)
def test_flags_of_torchrun_are_passed_on_in_one_spelling(
    given_flags: str, canonical: tuple[str, ...]
) -> None:
    assert parse(f'--torchrun "{given_flags}"').torchrun == canonical


BROKEN_PROMISES = [
    "--nnodes=2", "--node-rank 1", "--node_rank=1", "--rdzv-backend=c10d", "--rdzv_endpoint=a:1",
    "--rdzv-id 7", "--rdzv-conf a=b", "--rdzv", "--standalone", "--stand", "--master-addr a",
    "--master_port 1", "--mas", "--tee 3", "-t 3", "-t3", "--redirects 3", "-r", "-r3",
    "--log-dir d", "--log_dir=d", "--log", "--logs-specs x", "--signals-to-handle SIGINT",
    "--shutdown-timeout 3", "--no-python", "--no_python", "-m", "--module", "--run-path",
    "--nproc-per-node 3", "--nproc_per_node=3", "--np", "--max-restarts 3", "--max_restarts=3",
    "--local-addr a", "--local-ranks-filter 0", "--virtual-local-rank",
    "--duplicate-stdout-filters a", "--dup", "-h", "--help",
]  # fmt: skip


@pytest.mark.parametrize("flag", BROKEN_PROMISES)
def test_a_flag_that_would_break_a_promise_is_refused_in_every_spelling(flag: str) -> None:
    with pytest.raises(OptionError, match=r"^--torchrun cannot pass on "):
        parse(f'--torchrun "--role w {flag}"')


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--tee=3", "--torchrun cannot pass on --tee: every rank's output is already kept and"),
        ("--max_restarts=3", "--torchrun cannot pass on --max_restarts (--max-restarts). Write"),
        ("train.py", "--torchrun takes flags of torch.distributed.run only, and 'train.py' is"),
        ("-- train.py", "--torchrun takes flags of torch.distributed.run only, and '--' is none."),
        ("--fast", "--torchrun: --fast is no flag of torch.distributed.run that can be passed on."),
        ("-x", "--torchrun: -x is no flag of torch.distributed.run that can be passed on."),
        ("--role", "--torchrun: --role takes a name, not ''. Write"),
        ("--monitor-interval never", "--torchrun: --monitor-interval takes seconds, as 0.5, not"),
        ("--monitor-interval=-1", "--torchrun: --monitor-interval takes seconds, as 0.5, not"),
        ("--role 'a", '--torchrun "--role \'a" has a quote that is never closed. Close it,'),
    ],
)
def test_other_flags_are_refused_with_what_to_do(flag: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        launcher_flags.passed_on(flag)

    assert str(caught.value).startswith(message)


def test_the_table_of_flags_is_that_of_the_installed_torch() -> None:
    from torch.distributed.run import get_args_parser

    actions = [action for action in get_args_parser()._actions if action.option_strings]
    names = {
        max((s for s in action.option_strings if "_" not in s), key=len)[2:] for action in actions
    }
    valueless = {a.option_strings[-1] for a in actions if a.nargs == 0}

    assert names == {*launcher_flags.ALLOWED, *launcher_flags.REFUSED}
    assert not valueless & {f"--{name}" for name in launcher_flags.ALLOWED}


def test_torchruns_own_parser_takes_what_derives_from_the_options() -> None:
    from torch.distributed.run import get_args_parser

    options = parse('--restarts 3 --torchrun "--mon 0.5 --role w --numa_binding=node"')
    read = get_args_parser().parse_args([*torchrun_argv(options, 4), "main.py"])

    assert (read.nproc_per_node, read.max_restarts) == ("4", 3)
    assert (read.monitor_interval, read.role, read.numa_binding) == (0.5, "w", "node")
    assert read.training_script == "main.py"


def test_help_and_table_name_every_option_once() -> None:
    explained = [line.strip() for line in help_text().splitlines()]
    table = markdown_table().splitlines()
    for flag in flags().values():
        cell = flag.spelled.replace("|", r"\|")
        assert sum(line.startswith(f"{flag.spelled}  ") for line in explained) == 1
        assert sum(row == f"| `{cell}` | {flag.help} |" for row in table) == 1

    assert max(map(len, explained)) <= 98


def test_the_table_has_two_columns_in_every_row() -> None:
    rows = markdown_table().splitlines()

    assert {row.replace(r"\|", "").count("|") for row in rows} == {3}


def test_every_option_is_one_typed_field_and_nothing_else_is_declared() -> None:
    assert list(flags()) == [
        "gpus", "devices", "nproc", "output", "trainer", "rank", "background", "name", "restarts",
        "timeout", "grace", "env", "keep", "cold", "show", "ui", "torchrun",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("--env HF_TOKEN=abc lr=3", "--env HF_TOKEN=*** lr=3"),
        ("api_key='a b' x=1", "api_key=*** x=1"),
        ("password = x", "password = ***"),
        ("max_tokens=512 tokens={n} key=none", "max_tokens=512 tokens={n} key=none"),
    ],
)
def test_what_looks_secret_is_masked_in_a_line(line: str, masked: str) -> None:
    assert mask_line(line) == masked
