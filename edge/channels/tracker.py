"""Tracking: what each channel's log decides is carried out.

The decisions are those of `ChannelLog` (edge/channel_log.py); this reads logs, gives items to the fan-out, bare
messages to the adopter, and tells the hub when a channel is live or must be subscribed anew.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from common.message import Join, Message
from common.position import Position
from common.scripts.results import SyncQuery, SyncResult
from edge.channel_log import DELIVER, OFFER, REJOIN, REPAIR, RESET, TOO_LARGE, LogRules, Step
from edge.channels.adoption import Adopter
from edge.channels.attach import Reader
from edge.channels.sync import SyncRequest
from edge.counters import Counters
from edge.engine.fanout import FanOut
from edge.framing.items import data_item, reset_item, unexpired_items
from edge.state import Channel


class TrackerHub(Protocol):
    """What a tracker tells its hub."""

    def admit(self, channel: Channel) -> None:
        """The channel is live: subscribers that wait may enter."""

    def resubscribe(self, channel: Channel) -> None:
        """The channel must begin anew, with another subscription."""


class ChannelTracker:
    """Moves the channels of an edge along their logs."""

    def __init__(
        self,
        hub: TrackerHub,
        fanout: FanOut,
        reader: Reader,
        counters: Counters,
        rules: LogRules,
        adopter: Adopter | None = None,
    ) -> None:
        self._hub = hub
        self._fanout = fanout
        self._reader = reader
        self._counters = counters
        self._rules = rules
        self._adopter = adopter

    def on_subscribed(self, channel: Channel) -> None:
        """Every message of a channel arrives from now on: find out where its log stands."""
        query = channel.on_subscribed(self._rules)
        if query is None:
            self._go_live(channel)
        else:
            self._read(channel, query)

    def receive(self, channel: Channel, message: Message | Join) -> None:
        """Take a message that arrived on a channel."""
        self._carry_out(channel.receive(message, self._rules), channel, message)

    def repair(self, channel: Channel) -> None:
        """Compare a live channel with its log and give its subscribers what is missing."""
        if channel.is_live and self._rules.keeps_history:
            self._read(channel, channel.begin_sync())

    def forget_reads(self) -> None:
        """The Redis connection is gone: what is being read counts no more."""
        self._reader.forget()

    def let_go(self, channel: Channel) -> None:
        """A channel leaves this edge."""
        channel.give_up_ring(self._rules)

    def _carry_out(self, step: Step, channel: Channel, message: Message | Join) -> None:
        if step is DELIVER and isinstance(message, Message):
            self._fanout.add(channel, data_item(channel.name, message))
        elif step is OFFER and isinstance(message, Message) and self._adopter is not None:
            self._adopter.hand_in(channel, channel.bare(message.payload))
        elif step is TOO_LARGE:
            self._counters.dropped_total["too_large"] += 1
        elif step is REPAIR:
            self._read(channel, channel.begin_sync())
        elif step is REJOIN:
            self._hub.resubscribe(channel)

    def _read(self, channel: Channel, query: SyncQuery) -> None:
        on_synced = partial(self._on_synced, channel, channel.attempt, channel.last)
        self._reader.ask(SyncRequest(query, on_synced, partial(channel.is_syncing, channel.attempt)))

    def _on_synced(self, channel: Channel, attempt: int, read_from: Position | None, result: SyncResult) -> None:
        """Bring a channel up to its log, and its subscribers with it."""
        step, missed = channel.on_synced(attempt, read_from, result, self._rules)
        if step is REPAIR:
            self._read(channel, channel.begin_sync())
        elif step is RESET:
            self._counters.repairs_total["reset"] += 1
            self._fanout.add(channel, reset_item(channel.name, channel.cursor))
            self._go_live(channel)
        elif step is DELIVER:
            if missed:
                self._deliver_missed(channel, missed)
            self._go_live(channel)

    def _deliver_missed(self, channel: Channel, missed: Sequence[Message]) -> None:
        self._counters.repairs_total["repaired"] += 1
        for item in unexpired_items(channel.name, missed, time.time()):
            self._fanout.add(channel, item)

    def _go_live(self, channel: Channel) -> None:
        """Take what was buffered, write it, and let in the subscribers that waited."""
        for message in channel.go_live():
            self._carry_out(channel.receive_buffered(message, self._rules), channel, message)
        if channel.fresh:
            self._fanout.flush()
        self._hub.admit(channel)
