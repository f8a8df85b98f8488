"""The channel tracker carries out what each channel's state machine, ChannelLog (edge/channel_log.py), decides.

It reads logs (edge/channels/sync.py), gives items to the fan-out (edge/engine/fanout.py) and bare messages to the
adopter (edge/channels/adoption.py), and lets the hub admit subscribers or subscribe anew.
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
    """The part of the hub that a tracker calls."""

    def admit(self, channel: Channel) -> None:
        """Let the subscribers that wait enter a live channel."""

    def refuse(self, channel: Channel) -> None:
        """Turn away the subscribers that wait for a new channel."""

    def resubscribe(self, channel: Channel) -> None:
        """Subscribe to a channel anew."""


class ChannelTracker:
    """Keeps the channels of an edge in step with their logs."""

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
        """SUBSCRIBE is acknowledged, so every message arrives: read where the log stands."""
        query = channel.on_subscribed(self._rules)
        if query is None:
            self._go_live(channel)
        else:
            self._read(channel, query)

    def receive(self, channel: Channel, message: Message | Join) -> None:
        """Handle a message that arrived on a channel."""
        self._carry_out(channel.receive(message, self._rules), channel, message)

    def repair(self, channel: Channel) -> None:
        """Compare a live channel with its log, and send its subscribers what they missed."""
        if channel.is_live and self._rules.keeps_history:
            self._read(channel, channel.begin_sync())

    def forget_reads(self) -> None:
        """The Redis connection is gone: drop the reads that are not answered."""
        self._reader.forget()

    def release(self, channel: Channel) -> None:
        """A channel leaves this edge: release what it holds."""
        channel.release_ring(self._rules)

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

    def _on_synced(self, channel: Channel, attempt: int, read_from: Position | None, result: SyncResult | None) -> None:
        """A read of a channel's log is answered: send its subscribers what they missed, or a reset."""
        if result is None:
            self._hub.refuse(channel)
            return
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
        """Make a channel live: handle what it buffered, write that, and admit the subscribers that wait."""
        for message in channel.go_live():
            self._carry_out(channel.receive_buffered(message, self._rules), channel, message)
        if channel.fresh:
            self._fanout.flush()
        self._hub.admit(channel)
