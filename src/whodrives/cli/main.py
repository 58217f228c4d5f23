"""`whodrives`: the verbs, and how every error becomes one line and an exit status."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from whodrives.cli.output import print_error
from whodrives.errors import WhodrivesError

# Verb -> where its command is; a verb is imported when it is called (or listed).
VERBS = {
    "demo": "whodrives.cli.demo:demo",
    "simulate": "whodrives.cli.simulate:simulate",
    "prepare": "whodrives.cli.prepare:prepare",
    "train": "whodrives.cli.train:train",
    "evaluate": "whodrives.cli.evaluate:evaluate",
    "reproduce": "whodrives.cli.reproduce:reproduce",
    "calibrate": "whodrives.cli.calibrate:calibrate",
    "export": "whodrives.cli.export:export",
    "embed": "whodrives.cli.embed:embed",
    "compare": "whodrives.cli.compare:compare",
    "enroll": "whodrives.cli.enroll:enroll",
    "verify": "whodrives.cli.verify:verify",
    "identify": "whodrives.cli.verify:identify",
    "watch": "whodrives.cli.watch:watch",
    "gallery": "whodrives.cli.gallery:gallery",
    "index": "whodrives.cli.index:index",
    "info": "whodrives.cli.info:info",
}

YES, NO, WRONG = 0, 1, 2


class VerbGroup(click.Group):
    """Commands that are imported late, and errors without tracebacks.

    A command returns its exit status (0 yes, 1 no match, abstention or a failed check) or None for 0.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of `VERBS`."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name not in VERBS:
            return None
        module, attribute = VERBS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run, print an error as one line (or one JSON object with --json), exit with 0, 1 or 2."""
        words = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in words
        extra["standalone_mode"] = False
        try:
            status = super().main(args=words, prog_name=prog_name, **extra)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            sys.exit(WRONG)
        except click.UsageError as error:
            verb = error.ctx.command_path if error.ctx is not None else self.name
            print_error("UsageError", f"{error.format_message()} See `{verb} --help`.", as_json)
            sys.exit(WRONG)
        except click.ClickException as error:
            print_error(type(error).__name__, error.format_message(), as_json)
            sys.exit(WRONG)
        except WhodrivesError as error:
            print_error(type(error).__name__, str(error), as_json)
            sys.exit(WRONG)
        except BrokenPipeError:
            # The reader of our output is gone (`| head`); point stdout elsewhere so that the exit stays quiet.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(NO)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            print_error("OSError", f"{where}{error.strerror or error}", as_json)
            sys.exit(WRONG)
        except (click.Abort, KeyboardInterrupt):
            print_error("Interrupted", "interrupted; nothing more was done", as_json)
            sys.exit(WRONG)
        except Exception as error:
            if os.environ.get("WHODRIVES_DEBUG"):
                raise
            print_error(
                type(error).__name__,
                f"whodrives itself failed ({type(error).__name__}: {error}). Set WHODRIVES_DEBUG=1 for the traceback "
                "and report it",
                as_json,
            )
            sys.exit(WRONG)
        sys.exit(status if isinstance(status, int) else YES)


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        import whodrives

        click.echo(f"whodrives {whodrives.__version__}")
        ctx.exit()


@click.group("whodrives", cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Version.")
def cli() -> None:
    """Who is driving that avatar? Reads the driver of a talking-head video from its motion alone.

    Exit status: 0 yes or done, 1 no match, abstention or a failed check, 2 wrong call or input.
    """


def main() -> NoReturn:
    """Entry point of the `whodrives` command."""
    cli.main(prog_name="whodrives")
