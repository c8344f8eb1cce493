"""screen.py: who is left out, and what a forger can have left out."""

from tlids_edge.learn.screen import BURST, MAX_SOURCES, Screen

HOME, SERVICE, OTHER = 1, 80, 443


def alarms(screen: Screen, count: int, begin: float = 0.0, **how) -> list:
    how = {"source": HOME, "service": SERVICE, "alarm": True, "proven": True} | how
    return [screen.see(now=begin + index, **how) for index in range(count)]


def test_ten_proven_alarms_in_a_minute_leave_the_source_out_and_take_the_minute_before_back():
    screen = Screen()
    answers = alarms(screen, BURST)
    assert [screened for screened, _ in answers] == [False] * 9 + [True]
    burst = answers[-1][1]
    assert burst.whole and burst.source == HOME and burst.since == 9 - 60
    assert screen.see(HOME, OTHER, False, True, 60.0) == (True, None)
    assert screen.see(HOME, OTHER, False, True, 70.0) == (False, None)


def test_nine_alarms_or_ten_in_more_than_a_minute_are_no_burst():
    assert not any(screened for screened, _ in alarms(Screen(), BURST - 1))
    slow = Screen()
    assert not any(slow.see(HOME, SERVICE, True, True, 7.0 * index)[0] for index in range(40))


def test_another_source_is_not_touched():
    screen = Screen()
    alarms(screen, 30)
    assert screen.see(2, SERVICE, True, True, 30.0) == (False, None)


def test_forged_alarms_leave_a_victims_proven_rows_and_its_other_services_in():
    screen = Screen()
    burst = alarms(screen, 30, proven=False)[BURST - 1][1]
    assert not burst.whole
    assert burst.covers(True, False, SERVICE) and not burst.covers(True, True, SERVICE)
    assert screen.see(HOME, SERVICE, False, True, 31.0) == (False, None)  # proven
    assert screen.see(HOME, OTHER, False, False, 31.0) == (False, None)  # unproven, of a service that was not forged
    assert screen.see(HOME, SERVICE, False, False, 31.0)[0]  # what looks like the forgeries


def test_a_scan_of_many_ports_is_left_out_although_no_port_is_tried_twice():
    screen = Screen()
    out = [screen.see(HOME, port, True, False, port / 100)[0] for port in range(1, 1001)]
    assert not any(out[: BURST - 1]) and all(out[BURST - 1 :])


def test_the_table_of_sources_is_bounded_and_the_silent_one_gives_way():
    screen = Screen()
    alarms(screen, BURST - 1)
    for source in range(2, MAX_SOURCES + 2):
        screen.see(source, SERVICE, True, False, 10.0)
    assert len(screen._sources) == MAX_SOURCES
    assert not screen.see(HOME, SERVICE, True, True, 11.0)[0]
