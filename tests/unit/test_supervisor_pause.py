"""How long a role that died waits before its next start."""

from itertools import accumulate

from deploy.supervisor import LONGEST_PAUSE_SECONDS, SETTLED_SECONDS, pause


def test_it_doubles_from_a_fifth_of_a_second_to_half_a_minute():
    pauses = list(accumulate(range(10), lambda previous, _: pause(previous, ran_seconds=0.1), initial=0.0))
    assert pauses[1:] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]


def test_a_role_that_had_settled_begins_anew():
    assert pause(LONGEST_PAUSE_SECONDS, ran_seconds=SETTLED_SECONDS) == 0.2
