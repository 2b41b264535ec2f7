"""Bots: programs that answer messages, in a few plain functions. `docs/guide/bot.md` shows how.

    from p2pchat.bot import Bot

    bot = Bot()

    @bot.on_message
    def echo(message):
        message.reply(message.text)

    bot.run()

A bot is a face like the others: a client of the profile's node that holds no keys.
"""

from p2pchat.bot.bot import Bot
from p2pchat.bot.events import Message, Request, State
from p2pchat.bot.rate_limit import TooFast

__all__ = ["Bot", "Message", "Request", "State", "TooFast"]
