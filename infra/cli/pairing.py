"""`fieldproof pairing`: the life of a proof, from its proposal to what follows it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from infra.cli.asking import REFUSED, WrongInput, ask, either
from infra.cli.screen import Screen
from infra.words.language import Lang, language

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemas.pairing import Pairing
    from schemas.requests import Command

app = typer.Typer(help="Pairings: one start-up's proof at one plant.", no_args_is_help=True)

PairingArgument = Annotated[str | None, typer.Argument(help="The pairing; not needed where there is one.")]
PartyOption = Annotated[
    str | None, typer.Option("--as", help="The party that asks; else the first that may.")
]
ReasonOption = Annotated[str, typer.Option(help="Why, for the record.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]
LangOption = Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")]

EXITS = "Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused."


def _ask(
    pairing: str | None,
    party: str | None,
    as_json: bool,
    make: Callable[[Pairing], Command],
    who: Callable[[Pairing], list[str]],
) -> None:
    from infra.client import Client

    with Client.connect() as client:
        present = client.pairing(pairing)
        ask(Screen(as_json=as_json), client, either(party, who(present)), make(present))


def _plant_side(pairing: Pairing) -> list[str]:
    return [pairing.manufacturer, *pairing.coordinators]


def _startup(pairing: Pairing) -> list[str]:
    return [pairing.startup]


def _coordinators(pairing: Pairing) -> list[str]:
    return list(pairing.coordinators)


@app.command()
def propose(
    pairing: Annotated[str, typer.Argument(help="Its id, such as pump-2026-01.")],
    need: Annotated[str, typer.Option(help="The need that it is for.")],
    startup: Annotated[str, typer.Option(help="The start-up.")],
    agreement: Annotated[Path, typer.Option(help="The agreement, a YAML file.")],
    party: PartyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a pairing with its agreement on the table. Both sides consent to it next.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing propose pump-2026-01 --need pump-faults --startup startup-a --agreement agreement.yaml
    """
    from infra.cli.asking import read_file
    from infra.client import Client
    from infra.evidence.sealing import sealed
    from schemas.agreement import Agreement
    from schemas.requests import ProposePairing

    terms = read_file(agreement, Agreement)[0]
    with Client.connect() as client:
        known = client.state.needs.get(need)
        if known is None:
            raise WrongInput(
                f"there is no need {need!r}; there are: {', '.join(sorted(client.state.needs)) or 'none'}"
            )
        asker = either(party, client.state.programmes[known.programme].operators)
        terms = sealed(terms, known.plant, client.state.keys)
        command = ProposePairing(pairing=pairing, need=need, startup=startup, agreement=terms)
        ask(Screen(as_json=as_json), client, asker, command)


@app.command()
def amend(
    agreement: Annotated[Path, typer.Argument(help="The new agreement, a YAML file.")],
    pairing: Annotated[str | None, typer.Option(help="The pairing; not needed where there is one.")] = None,
    reason: ReasonOption = "terms renegotiated",
    party: PartyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put another agreement on the table; both sides have to consent anew.

    A trial that runs goes on until both have consented. Then it ends, and a new one begins under the new terms.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing amend agreement-2.yaml --pairing pump-2026-01 --reason "longer trial"
    """
    from infra.cli.asking import read_file
    from infra.client import Client
    from infra.evidence.sealing import sealed
    from schemas.agreement import Agreement
    from schemas.requests import AmendAgreement

    terms = read_file(agreement, Agreement)[0]
    with Client.connect() as client:
        present = client.pairing(pairing)
        asker = either(party, [*present.coordinators, present.manufacturer, present.startup])
        terms = sealed(terms, present.plant, client.state.keys)
        command = AmendAgreement(pairing=present.id, agreement=terms, reason=reason)
        ask(Screen(as_json=as_json), client, asker, command)


@app.command()
def consent(
    pairing: PairingArgument = None,
    party: Annotated[
        str, typer.Option("--as", help="The side that consents: the manufacturer or the start-up.")
    ] = "",
    person: Annotated[str, typer.Option(help="Who signs.")] = "",
    digest: Annotated[
        str | None,
        typer.Option("--hash", help="The agreement's hash, as it was read; else the one on the table."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Consent to the agreement that lies on the table, by its hash.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused, as for a stale hash.

    Example: fieldproof pairing consent pump-2026-01 --as startup-a --person "Head of engineering"
    """
    from schemas.requests import ConsentToAgreement

    if not party or not person:
        raise WrongInput("consent needs --as PARTY and --person NAME: who signs, for which side")
    _ask(
        pairing,
        party,
        as_json,
        lambda one: ConsentToAgreement(
            pairing=one.id,
            agreement_digest=digest or (one.amendment or one).agreement_digest,
            person=person,
        ),
        lambda one: [one.manufacturer, one.startup],
    )


@app.command()
def rehearse(
    pairing: PairingArgument = None,
    end: Annotated[bool, typer.Option("--end", help="End the rehearsal that runs.")] = False,
    party: PartyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a rehearsal, or end it: both sides see whether inputs, answers and labels come. It never counts.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing rehearse pump-2026-01
    """
    from schemas.requests import EndRehearsal, StartRehearsal

    kind = EndRehearsal if end else StartRehearsal
    _ask(pairing, party, as_json, lambda one: kind(pairing=one.id), _plant_side)


@app.command()
def start(pairing: PairingArgument = None, party: PartyOption = None, as_json: JsonOption = False) -> None:
    """Start the trial: frames from now on are due.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing start pump-2026-01
    """
    from schemas.requests import StartTrial

    _ask(pairing, party, as_json, lambda one: StartTrial(pairing=one.id), _plant_side)


@app.command()
def end(
    pairing: Annotated[
        str | None, typer.Argument(help="The pairing; every running one if not given.")
    ] = None,
    reason: ReasonOption = "the planned trial is over",
    party: PartyOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a trial: the frames sent until now count, and the verdict falls when their labels are in.

    Exit code 2: there is no such pairing; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing end pump-2026-01
    """
    from infra.client import Client, Unknown
    from schemas.pairing import Phase
    from schemas.requests import EndTrial

    screen = Screen(as_json=as_json)
    refused = False
    with Client.connect() as client:
        known = client.state.pairings
        running = sorted(name for name, one in known.items() if one.phase is Phase.RUNNING)
        chosen = [client.pairing(pairing).id] if pairing is not None else running
        if not chosen:
            raise Unknown("no pairing is running")
        for name in chosen:
            try:
                ask(
                    screen,
                    client,
                    either(party, _plant_side(known[name])),
                    EndTrial(pairing=name, reason=reason),
                )
            except typer.Exit:
                refused = True
            else:
                screen.say("The verdict falls when its labels are in.")
    if refused:
        raise typer.Exit(REFUSED)


@app.command()
def stop(
    pairing: Annotated[str, typer.Argument(help="The pairing.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    party: PartyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Break a pairing off, as its plant or a coordinator: there will be no verdict.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing stop pump-2026-01 --reason "the line is rebuilt"
    """
    from schemas.requests import StopPairing

    _ask(pairing, party, as_json, lambda one: StopPairing(pairing=one.id, reason=reason), _plant_side)


@app.command()
def withdraw(
    pairing: Annotated[str, typer.Argument(help="The pairing.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    as_json: JsonOption = False,
) -> None:
    """Leave a pairing, as its start-up: there will be no verdict.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing withdraw pump-2026-01 --reason "the team moved on"
    """
    from schemas.requests import WithdrawPairing

    _ask(pairing, None, as_json, lambda one: WithdrawPairing(pairing=one.id, reason=reason), _startup)


@app.command("object")
def object_to(
    pairing: Annotated[str, typer.Argument(help="The pairing.")],
    reason: Annotated[str, typer.Option(help="What is wrong with the verdict.")],
    person: Annotated[str, typer.Option(help="Who objects.")],
    party: Annotated[
        str, typer.Option("--as", help="The side that objects: the manufacturer or the start-up.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Object to the verdict, within the objection period.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing object pump-2026-01 --as startup-a --person CTO --reason "labels of 3 March are wrong"
    """
    from schemas.requests import ObjectToVerdict

    _ask(
        pairing,
        party,
        as_json,
        lambda one: ObjectToVerdict(pairing=one.id, person=person, reason=reason),
        _startup,
    )


@app.command()
def resolve(
    pairing: Annotated[str, typer.Argument(help="The pairing.")],
    resolution: Annotated[Literal["upheld", "dismissed"], typer.Argument(help="upheld or dismissed.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    objection: Annotated[
        str | None, typer.Option(help="The objection's id; not needed where one is open.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide on an objection, as a coordinator.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing resolve pump-2026-01 dismissed --reason "the labels were confirmed"
    """
    from schemas.requests import ResolveObjection

    def command(one: Pairing) -> Command:
        open_ = [each.id for each in one.objections if each.resolution is None]
        if objection is None and len(open_) != 1:
            raise WrongInput(f"which objection? Open are: {', '.join(open_) or 'none'}")
        return ResolveObjection(
            pairing=one.id, objection=objection or open_[0], resolution=resolution, reason=reason
        )

    _ask(pairing, None, as_json, command, _coordinators)


@app.command("follow-up")
def follow_up(
    pairing: Annotated[str, typer.Argument(help="The pairing.")],
    outcome: Annotated[
        Literal["contract", "regional_settlement", "investment", "another_trial", "none"],
        typer.Argument(help="What came of it."),
    ],
    note: Annotated[str, typer.Option(help="In a few words.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Record what came of a settled pairing, as a coordinator.

    Exit code 2: the input is wrong; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing follow-up pump-2026-01 contract --note "two lines, from June"
    """
    from schemas.requests import RecordFollowUp

    _ask(
        pairing,
        None,
        as_json,
        lambda one: RecordFollowUp(pairing=one.id, outcome=outcome, note=note),
        _coordinators,
    )


@app.command()
def show(pairing: PairingArgument = None, lang: LangOption = None, as_json: JsonOption = False) -> None:
    """Show where a pairing stands: since when, why, and who must act next.

    Exit code 2: there is no such pairing; 3: the installation does not answer.

    Example: fieldproof pairing show pump-2026-01
    """
    from infra.client import Client
    from infra.words.pairings import lines

    with Client.connect() as client:
        present = client.pairing(pairing)
    screen = Screen(as_json=as_json)
    screen.emit({"kind": "pairing", **present.to_dict()})
    if not as_json:
        table = Table(show_header=False, box=None)
        for name, text in lines(present, language(lang, os.environ)):
            table.add_row(f"[dim]{name}[/dim]", text)
        screen.show(table)


@app.command()
def timeline(pairing: PairingArgument = None, lang: LangOption = None, as_json: JsonOption = False) -> None:
    """Tell a pairing's story: what happened when, by whom and why, refusals included.

    Exit code 2: there is no such pairing; 3: the installation does not answer.

    Example: fieldproof pairing timeline pump-2026-01 --lang ko
    """
    from infra.client import Client
    from infra.words.pairings import story

    with Client.connect() as client:
        present = client.pairing(pairing)
        facts = [fact for fact in client.facts if fact.subject == present.id]
        zone = client.state.plants[present.plant].time_zone
        names = {one.id: one.name for one in client.state.organisations.values()}
        names |= {one.id: one.name for one in client.state.plants.values()}
    screen = Screen(as_json=as_json)
    for fact in facts:
        screen.emit(fact.to_dict())
    if not as_json:
        table = Table(box=None, show_header=False)
        for at, who, what in story(facts, names, zone, language(lang, os.environ)):
            table.add_row(f"[dim]{at}[/dim]", who, what)
        screen.show(table)


@app.command()
def kit(
    pairing: PairingArgument = None,
    directory: Annotated[
        Path | None, typer.Option("--to", help="Where to; a folder named after the pairing if not given.")
    ] = None,
    rows: Annotated[
        int, typer.Option(help="The most rows of the sample, of all assets together.", min=1, max=10_000_000)
    ] = 100_000,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write what the start-up needs to begin: schema, units, limits, the allowed sample, a first model.

    The sample is what the agreement says: the newest rows from before the first rehearsal or trial with their labels
    (extract.csv), statistics of them without any row (statistics.json), or nothing. The record of what was handed over
    is printed and stands in the kit's README.

    Exit code 2: there is no such pairing, or the folder is not empty; 3: the installation does not answer.

    Example: fieldproof pairing kit pump-2026-01 --to kit --rows 20000
    """
    from infra.client import Client
    from infra.kit.contents import check_new, write_kit
    from infra.kit.extract import history
    from infra.kit.sample import Handed

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        name = client.pairing(pairing).id
        target = directory or Path(f"{name}-kit")
        check_new(target)
        with screen.people.status("…") as status:
            sample = history(
                client,
                name,
                rows=rows,
                progress=lambda read, kept: status.update(f"{read} messages read, {kept} rows · 행"),
            )
        present = client.pairing(name)
        written = write_kit(target, present, client.plant(present.plant), sample)
    for path in written.files:
        screen.emit({"kind": "written", "path": str(path)})
        screen.say(f"wrote {path}")
    given = written.given
    if isinstance(given, Handed):
        screen.emit({"kind": "handed_over", "pairing": name, **given.to_dict()})
        screen.say(f"handed over 제공 기록: {given}", "green")
    else:
        screen.emit({"kind": "withheld", "pairing": name, "why": given.en})
        screen.say(given.to(spoken), "yellow")
