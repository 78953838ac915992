"""An SMTP server for the tests: aiosmtpd, which does what a recipient's name says.

    server.py none|starttls|tls|inject [--certificate FILE --key FILE] [--login USER:PASSWORD] [--ascii]

Prints one JSON object a line: first {"port": N}, then what happens. Ends when its standard input does.
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def tell(**event):
    print(json.dumps(event), flush=True)


# What is answered to RCPT, by the recipient's name.
RECIPIENTS = {
    "gone": "550 5.1.1 <gone@example.org>: Recipient address rejected: User unknown",
    "relay": "554 5.7.1 Relay access denied",
    "later": "450 4.2.0 Greylisted, try again",
    "fast": "421 4.7.0 Too many messages from you",
}
# What is answered to the mail itself.
CONTENTS = {
    "spam": "554 5.7.1 Message rejected as spam",
    "full": "452 4.3.1 Insufficient system storage",
}


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        tell(event="hello", name=hostname, encrypted=server.transport.get_extra_info("sslcontext") is not None)
        session.host_name = hostname
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        if name == "mute":
            tell(event="mute")
            await asyncio.Event().wait()
        if name == "hangs-up":
            server.transport.abort()
            return "250 OK"
        if name in RECIPIENTS:
            return RECIPIENTS[name]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        name = envelope.rcpt_tos[0].split("@")[0]
        tell(
            event="mail",
            sender=envelope.mail_from,
            recipient=envelope.rcpt_tos[0],
            content=envelope.content.decode(),
            encrypted=server.transport.get_extra_info("sslcontext") is not None,
            login=(session.auth_data or b"").decode(),
        )
        if name == "dies":
            # As if the machine had died between the mail and the answer.
            server.transport.abort()
        if name == "stalls":
            await asyncio.Event().wait()
        if name == "closes":
            asyncio.get_running_loop().call_later(0.05, self.close, server.transport)
        return CONTENTS.get(name, "250 2.0.0 OK")

    def close(self, transport):
        transport.close()
        tell(event="closed")


def authenticator(login):
    def authenticate(server, session, envelope, mechanism, data):
        if isinstance(data, LoginPassword) and b"%s:%s" % (data.login, data.password) == login.encode():
            return AuthResult(success=True, auth_data=data.login)
        return AuthResult(success=False, handled=False)

    return authenticate


async def inject(reader, writer, context):
    """A server with somebody on the wire, who puts an answer of his own behind the last one in the clear."""
    writer.write(b"220 test ESMTP\r\n")
    while line := await reader.readline():
        if line.upper().startswith(b"STARTTLS"):
            writer.write(b"220 go ahead\r\n250 smuggled\r\n")
            await writer.drain()
            try:
                await writer.start_tls(context)
            except ssl.SSLError:
                return
            tell(event="encrypted")
        else:
            writer.write(b"250-test\r\n250 STARTTLS\r\n")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("security", choices=["none", "starttls", "tls", "inject"])
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--login")
    parser.add_argument("--ascii", action="store_true")
    options = parser.parse_args()
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
    loop = asyncio.get_running_loop()

    if options.security == "inject":
        server = await asyncio.start_server(lambda r, w: inject(r, w, context), "127.0.0.1", 0)
    else:
        starttls = options.security == "starttls"
        settings = {
            "enable_SMTPUTF8": not options.ascii,
            "tls_context": context if starttls else None,
            "require_starttls": starttls,
        }
        if options.login:
            settings |= {
                "authenticator": authenticator(options.login),
                "auth_required": True,
                "auth_require_tls": options.security == "starttls",
            }
        server = await loop.create_server(
            lambda: SMTP(Handler(), **settings),
            "127.0.0.1",
            0,
            ssl=context if options.security == "tls" else None,
        )
    tell(port=server.sockets[0].getsockname()[1])
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
