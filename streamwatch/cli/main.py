"""The `streamwatch` command: finds a command's module only when it is called, and turns errors into one line."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
import threading

import click

from streamwatch import __version__
from streamwatch.errors import StreamwatchError
from streamwatch.logs import CLOSE_S, set_up_logging
from streamwatch.logs.line_writer import LineWriter, writing_to
from streamwatch.masking import mask_credentials

# Before torch is imported: a spinning OpenMP thread beside a busy decoder makes inference 10 times slower on few
# cores (measured, docs/decisions/0003-threads-and-processors.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

COMMANDS = {
    "demo": "see it work: renders a scene, learns it, watches it",
    "fit": "learn a scene from normal footage",
    "calibrate": "thresholds from normal footage, for a false-alarm budget",
    "backtest": "what a camera would have raised on recordings",
    "model": "show a camera's model and thresholds, or go back to the one before",
    "score": "score every frame of a video",
    "run": "watch cameras (the daemon)",
    "events": "list, show, export and label events",
    "alerts": "list, show, replay and test deliveries",
    "cluster": "which process watches which camera",
    "token": "who may use page and API",
    "snooze": "raise no events of a camera for a while",
    "bench": "how fast each step is here, and how many cameras this machine carries",
    "evaluate": "evaluate on ShanghaiTech Campus or UCSD, with a report",
    "simulate": "serve a file as an RTSP camera that misbehaves on command",
    "backup": "write models, events, evidence and configuration to one file",
    "restore": "put them back, here or on another machine",
    "check": "check a configuration file",
    "schema": "print the JSON schema of the configuration",
    "weights": "list, fetch and verify pretrained weights",
}


class LazyGroup(click.Group):
    """Imports a command when it is used, so that `--help` and `check` need no torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"streamwatch.cli.{cmd_name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"cli.{cmd_name} holds no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with their one-line texts, importing none."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="streamwatch")
@click.option("--debug", is_flag=True, help="Show tracebacks and debug messages.")
def cli(debug: bool) -> None:
    """Learn what each camera normally sees, and raise an alarm when a scene does something new."""
    level = logging.DEBUG if debug else logging.INFO
    set_up_logging(level)


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit with its code: 0 done, 1 failed, 2 wrong usage or configuration."""
    arguments = sys.argv[1:] if argv is None else argv
    if "run" in arguments and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload that is asked for while the daemon's parts are imported
    sys.exit(_run(arguments, debug="--debug" in arguments))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        result = cli.main(arguments, prog_name="streamwatch", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except StreamwatchError as error:
        return report_error(str(error), error.exit_code, debug)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "streamwatch"
        return report_error(f"{error.format_message()}; see `{command} --help`", 2, debug)
    except click.ClickException as error:
        return report_error(error.format_message(), error.exit_code, debug)
    except (click.Abort, KeyboardInterrupt):
        return report_error("interrupted", 130, debug)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: `streamwatch ... | head`
        return 0
    except ImportError as error:
        return report_error(_of_library(error), 1, debug)
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return report_error(f"internal fault ({text[:300]}); run `streamwatch --debug ...` and report it", 1, debug)


def _of_library(error: ImportError) -> str:
    """What to do about a library that cannot be loaded."""
    if "libGL" in str(error):
        what = "OpenCV needs libGL, and this machine has none"
        return f"{what}; `pip uninstall opencv-python` and `pip install opencv-python-headless`, the same without windows"
    return f"a library cannot be loaded ({error}); install streamwatch again"


def report_error(text: str, code: int, debug: bool) -> int:
    """Print an error as one line, or with its traceback in debug mode; the exit code."""
    lines = LineWriter("error", writing_to(sys.stderr))  # nobody may read it, and the exit code must be said all the same
    lines.write(f"error: {mask_credentials(' '.join(text.split()))}")
    lines.close(CLOSE_S)
    if debug and sys.exc_info()[0] is not None:
        logging.getLogger("streamwatch").exception("traceback, because of --debug")
    return code
