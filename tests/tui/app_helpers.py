"""What tests of the app ask it and its node, and the people they begin with."""

from __future__ import annotations

from p2pchat.tui.app import ChatApp
from tests.tui.fakes import FakeNode, Json


def notices(app: ChatApp) -> str:
    """What was said in the corner."""
    return "\n".join(str(notification.message) for notification in app._notifications)


def sent(node: FakeNode) -> list[tuple[str, str]]:
    """What the node was asked to send: chat and text."""
    return [(params["chat"], params["text"]) for params in node.named("send")]


def said(node: FakeNode) -> list[Json]:
    """The messages of one's own that the node has, of all chats: what it was asked to send is one of them later."""
    return [message for messages in node.history.values() for message in messages if message["mine"]]


def is_shown(app: ChatApp, chat: str) -> bool:
    """Whether this chat is the one on the screen."""
    return app.state.current == chat


def story(node: FakeNode) -> tuple[str, str]:
    """Bob, with whom one talks last, and Carol, who wrote before."""
    bob, carol = node.friend("Bob", verified=True), node.friend("Carol", route=None)
    node.says(carol, "from Carol")
    node.said(bob, "hello Bob")
    return bob, carol
