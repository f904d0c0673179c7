"""Who owns an issue's work at any position of the log: one fold, used by conductor, bridges and agents alike.

`IssueAssigned` opens an epoch and ends every older one. `WorkStarted` of the open epoch claims it, and a later claim
takes it over (its predecessor is presumed dead). The owner's `WorkPushed` or `WorkFailed` closes the epoch;
`IssueUnassigned`, `Stopped` and `IssueWithdrawn` end it. What a non-owner says is recorded and ignored.

An agent that is not the owner acknowledges the assignment and frees its slot, unless another run holds the same epoch:
that one still works on the assignment, so it is put back and not acknowledged, and comes again if that run dies.
"""

from msgspec import Struct

from schemas.decision import IssueAssigned, IssueUnassigned
from schemas.event import Event
from schemas.issue import IssueWithdrawn, Stopped
from schemas.work import WorkFailed, WorkPushed, WorkStarted


class Ownership(Struct):
    """The fold's state for one issue. Starts empty: nobody owns an issue that was never assigned."""

    epoch: int = 0
    """The newest epoch assigned; 0: none yet."""
    open: bool = False
    """Whether that epoch can still be claimed, worked and reported."""
    run: str | None = None
    """The run that claimed it last."""
    claims: tuple[str, ...] = ()
    """Every run that has claimed it, so that a claim that is said twice takes nothing back."""

    def apply(self, event: Event) -> bool:
        """Folds one event of the issue. True when it took effect; False for a word of a non-owner or a repetition."""
        match event:
            case IssueAssigned(epoch=epoch):
                if epoch <= self.epoch:
                    return False
                self.epoch, self.open, self.run, self.claims = epoch, True, None, ()
                return True
            case WorkStarted(epoch=epoch, run=run):
                if not self.open or epoch != self.epoch or run in self.claims:
                    return False
                self.run, self.claims = run, (*self.claims, run)
                return True
            case WorkPushed(epoch=epoch, run=run) | WorkFailed(epoch=epoch, run=run):
                if not self.owns(epoch, run):
                    return False
                self.open = False
                return True
            case IssueUnassigned(epoch=epoch):
                return self._end() if epoch == self.epoch else False
            case Stopped() | IssueWithdrawn():
                return self._end()
            case _:
                return False

    def owns(self, epoch: int, run: str) -> bool:
        """Whether this run owns the work now."""
        return self.open and (epoch, run) == (self.epoch, self.run)

    def _end(self) -> bool:
        ended, self.open = self.open, False
        return ended
