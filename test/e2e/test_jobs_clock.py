"""A gateway whose clock is an hour ahead: what it believes of time does not become the store's."""

import time

import psycopg
import pytest

from harness import BIN, wait_until
from jobs import Api

CLOCK = BIN.parent / "test/chaos/clock.so"
AHEAD_S = 3600
SURE_S = 60  # clocks may differ by that much
WATERMARK = "SELECT coalesce(min(stamp_ms), 0) FROM progress WHERE topic = 'tally.requests.jobs'"


@pytest.fixture
def ahead(tmp_path):
    offset = tmp_path / "offset"
    offset.write_text(str(AHEAD_S))
    return {"LD_PRELOAD": CLOCK, "CHAOS_CLOCK": offset}


def test_a_clock_that_is_ahead_does_not_move_the_watermark(start_stack, services, ahead):
    """With it an hour ahead, all jobs of the next hour would be 404 until they are recorded."""
    stack = start_stack(n_workers=1, gateway=ahead)
    api = Api(stack.url)
    with psycopg.connect(services.jobs, autocommit=True) as store:
        def watermark_s():
            return store.execute(WATERMARK).fetchone()[0] / 1000

        began = time.time()
        api.final(api.submit("comments", {"login": "vladimir"})["id"])
        # It moves on though nothing comes any more, with what the database's clock says.
        wait_until(lambda: watermark_s() > began + 2, 90, "the watermark has moved on")
        assert watermark_s() < time.time() + SURE_S
