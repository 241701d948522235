"""macOS x64: whether the chain look-up stub of the runtime's image was linked in one piece."""

from __future__ import annotations

from dumpwalk.analysis.facts import Gathered
from dumpwalk.analysis.results import StubImage
from dumpwalk.analysis.step import Step
from dumpwalk.coreclr.dispatch.stub_image_check import check_stub_image
from dumpwalk.coreclr.runtime_view import RuntimeView


def _look(known: Gathered) -> StubImage:
    info = known.of(RuntimeView).info
    return StubImage(check_stub_image(known.process, info) if info is not None else None)


STEP = Step(
    name="stub image",
    rank=100,
    gives=StubImage,
    needs=(RuntimeView,),
    look=_look,
    instead=lambda known: StubImage(None),
    timed=False,
)
