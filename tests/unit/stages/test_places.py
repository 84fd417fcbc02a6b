"""places.py: nobody keeps what two wrote into one file at a time."""

from sccache.stages.places import Places


def test_alone():
    """One after the other, and side by side in other files, everybody is alone."""
    places = Places()
    first = places.enter(["/a.o", "/a.d"])
    other = places.enter(["/b.o"])
    places.leave(first)
    second = places.enter(["/a.o"])
    assert first.alone
    assert other.alone
    assert second.alone


def test_together():
    """Who shares one path is not alone, neither who came first nor who came last, though the other has left."""
    places = Places()
    first = places.enter(["/a.o", "/a.d"])
    second = places.enter(["/a.d"])
    places.leave(second)
    places.leave(second)
    third = places.enter(["/a.o"])
    assert [visit.alone for visit in (first, second, third)] == [False, False, False]
    places.leave(first)
    places.leave(third)
    assert places.enter(["/a.o", "/a.d"]).alone
