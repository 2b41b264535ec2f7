"""Bots: programs that answer messages, in a few plain functions. `docs/guide/bot.md` explains how.

    from p2pchat.bot import Bot

    bot = Bot()

    @bot.on_message
    def echo(message):
        message.reply(message.text)

    bot.run()

Most bots need only `Bot`, its decorators and `Message.reply`; `Bot.call` gives access to every method of the API.
A bot is a client of the profile's node and holds no keys, so it can crash at any time without losing a message.

As everywhere in the API, ignore fields that you do not know: there will be more.

bot         the class `Bot`: connecting, reading, answering
events      what a bot's functions are given
bookmark    how far the bot has read
rate_limit  how much it may send to one chat
shutdown    ending at a signal
echo        the echo bot
"""

from p2pchat.bot.bot import Bot
from p2pchat.bot.events import FileMessage, Group, Message, Request, SentFile, State
from p2pchat.bot.rate_limit import TooFast

__all__ = ["Bot", "FileMessage", "Group", "Message", "Request", "SentFile", "State", "TooFast"]
