"""Publishing to an MQTT broker: events, the state of every camera, and whether streamwatch is there at all.

Topics below the configured one: ``events/CAMERA`` has every message as a CloudEvent; ``cameras/CAMERA/anomaly`` (ON, OFF) and
``cameras/CAMERA/connection`` (online, offline) are retained; ``status`` is ``online``, and ``offline`` by last will. Home
Assistant finds the cameras by a retained discovery message for one device. Messages come from the outbox, in order and perhaps
late; retained states are what is so now, published on every change and all of them with every connection.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

from streamwatch.alerts.bodies.formats import cloudevent
from streamwatch.alerts.present import ANOMALY, CONNECTION, PresentState
from streamwatch.alerts.webhook import DeliveryResult
from streamwatch.errors import ConfigError
from streamwatch.store.outbox.messages import Message

AT_MOST_ONCE, AT_LEAST_ONCE = 0, 1
PORTS = {"mqtt": 1883, "mqtts": 8883}
RECONNECT_S = (1, 30)


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to publish.

    Attributes:
        topic: everything is below it.
        discovery: Home Assistant's prefix; empty for none.
        cameras: those that are announced.
    """

    url: str
    topic: str
    discovery: str
    cameras: Sequence[str]
    timeout_s: float
    source: str


class MqttTransport:
    """Publishes messages, each until the broker has acknowledged it (QoS 1).

    Raises:
        ConfigError: the URL is none of a broker.
    """

    def __init__(self, broker: Broker, present: PresentState) -> None:
        self._broker, self._present = broker, present
        self._connected = threading.Event()
        parts = urlsplit(broker.url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ConfigError("the MQTT broker's url is not mqtt://HOST or mqtts://HOST", where="alerts.mqtt.url")
        self._client = Client(CallbackAPIVersion.VERSION2)
        if parts.scheme == "mqtts":
            self._client.tls_set()
        if parts.username:
            self._client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        self._client.will_set(f"{broker.topic}/status", "offline", AT_LEAST_ONCE, retain=True)
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self._connected.clear()
        self._client.connect_async(parts.hostname, parts.port or PORTS[parts.scheme])
        self._client.loop_start()
        present.listen(self._publish_state)

    def send(self, message: Message) -> DeliveryResult:
        """Publish it."""
        if not self._connected.wait(self._broker.timeout_s):
            return DeliveryResult(False, error="not connected to the broker")
        topic, body = self._broker.topic, json.dumps(cloudevent(message, self._broker.source))
        name = message.camera or "system"
        if self._acknowledged(self._client.publish(f"{topic}/events/{name}", body, AT_LEAST_ONCE)):
            return DeliveryResult(True)
        return DeliveryResult(False, error="the broker did not acknowledge it")

    def announce(self, cameras: Sequence[str]) -> None:
        """Announce other cameras, at once if connected, else with the next connection."""
        gone = set(self._broker.cameras) - set(cameras)
        self._broker = replace(self._broker, cameras=tuple(cameras))
        for camera in gone:
            for what in (CONNECTION, ANOMALY):
                self._publish_state(camera, what, "")  # which removes what is retained
        if self._connected.is_set():
            self._publish_discovery()

    def close(self) -> None:
        """Say that nobody is there any more, and disconnect."""
        if self._connected.is_set():
            self._acknowledged(self._client.publish(f"{self._broker.topic}/status", "offline", AT_LEAST_ONCE, retain=True))
        self._client.disconnect()
        self._client.loop_stop()

    def _acknowledged(self, info: MQTTMessageInfo) -> bool:
        try:
            info.wait_for_publish(self._broker.timeout_s)
            return info.is_published()
        except (RuntimeError, ValueError):  # the connection broke, or its queue is full
            return False

    def _on_connect(self, client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            return
        client.publish(f"{self._broker.topic}/status", "online", AT_LEAST_ONCE, retain=True)
        self._connected.set()  # first: who announces other cameras meanwhile publishes them, too
        self._publish_discovery()
        self._present.tell_all(self._publish_state)

    def _publish_state(self, camera: str, what: str, state: str) -> None:
        if self._connected.is_set():  # else all are published with the connection
            # Once: what a broken connection did not take would be sent again after what is published with the next one.
            self._client.publish(f"{self._broker.topic}/cameras/{camera}/{what}", state, AT_MOST_ONCE, retain=True)

    def _publish_discovery(self) -> None:
        broker = self._broker
        if broker.discovery:
            where = f"{broker.discovery}/device/{broker.topic.replace('/', '_')}/config"
            self._client.publish(where, json.dumps(discovery(broker)), AT_LEAST_ONCE, retain=True)


def discovery(broker: Broker) -> dict[str, Any]:
    """Home Assistant's device discovery: one device, with two binary sensors for each camera."""
    identity = broker.topic.replace("/", "_")
    components: dict[str, Any] = {}
    for camera in broker.cameras:
        base = f"{broker.topic}/cameras/{camera}"
        components[f"{camera}_anomaly"] = {
            "platform": "binary_sensor",
            "name": f"{camera} anomaly",
            "unique_id": f"{identity}_{camera}_anomaly",
            "device_class": "problem",
            "state_topic": f"{base}/anomaly",
        }
        components[f"{camera}_connection"] = {
            "platform": "binary_sensor",
            "name": f"{camera} connection",
            "unique_id": f"{identity}_{camera}_connection",
            "device_class": "connectivity",
            "state_topic": f"{base}/connection",
            "payload_on": "online",
            "payload_off": "offline",
        }
    return {
        "device": {"identifiers": [identity], "name": "streamwatch"},
        "origin": {"name": "streamwatch"},
        "availability_topic": f"{broker.topic}/status",
        "components": components,
        "qos": AT_LEAST_ONCE,
    }
