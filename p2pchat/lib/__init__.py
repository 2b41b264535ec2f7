"""Small tools that many parts need and no library provides. Nothing here depends on p2pchat.

atomic_file   files that are written whole or not at all   backoff   how long to wait between failed attempts
token_bucket  how much of something is allowed now         times     hours and days in milliseconds and in seconds
wakeup        a trio event that can be reset               moments   times as people type them
small_file    reading a file that may be anything         toml_lines  changing one line of a TOML file
proxy_address  where a SOCKS5 proxy is                    shortcodes  emoji by their names
foreground    programs that have the terminal meanwhile     lookalikes  names that could be taken for each other
mentions      members who are named in a text           english     numbers and articles in sentences
parallel      work that several cores share
"""
