#!/usr/bin/env python3
"""A stand-in for a MongoDB replica set of one server, and commands for a stand-in or a real server.

    mongodb.py serve PORT [--user NAME:PASSWORD] [--tls KEY CERTIFICATE]
    mongodb.py tell PORT COMMAND      runs a JSON command on the database `admin`
    mongodb.py dump URL               prints every collection of the URL's store, document by document

The package mongoeco from PyPI speaks the protocol, runs the commands and keeps the data in memory. mongoeco has no
replica set, no write conflicts and no failures. This script adds them, as MongoDB's documentation describes them:

- `hello` reports a replica set and its primary.
- A transaction conflicts with every other transaction of its store. Transactions of other stores, and writes, wait for
  its end. It is aborted at its first error, when its session begins another, and after a minute.
- `configureFailPoint` with `failCommand`, which servers have for tests. `role` turns the server into a secondary;
  with `role` among its data, `failCommand` does so after its command.
"""

import argparse
import asyncio
import dataclasses
import functools
import itertools
import ssl
import sys
import time
import urllib.parse

from bson import ObjectId

LIFETIME = 60
WRITES = {"insert", "update", "delete", "findAndModify", "renameCollection", "createIndexes", "create", "drop"}
ENDS = {"commitTransaction", "abortTransaction"}
READS = {"find", "aggregate", "count"}
TRANSIENT = ["TransientTransactionError"]


def refusal(code, name, labels=()):
    return {"ok": 0.0, "code": code, "codeName": name, "errmsg": name, "errorLabels": list(labels)}


def number_in(body):
    number = body["txnNumber"]
    return getattr(number, "value", number)


def election():
    """The number of an election, greater than any earlier number of any stand-in."""
    return ObjectId(time.time_ns().to_bytes(12, "big"))


class Transaction:
    def __init__(self, number, session, store):
        self.number, self.session, self.store, self.state = number, session, store, "open"
        self.ends_at = time.monotonic() + LIFETIME


class Emulation:
    """The layer between the protocol and the commands."""

    def __init__(self, execute, address):
        self.execute, self.address = execute, address
        self.election = election()
        self.role, self.primary = "primary", address
        self.fault = None
        # The latest transaction of each session.
        self.transactions = {}
        self.changed = asyncio.Condition()
        self.writing = 0

    def open(self):
        """The open transaction, if there is one."""
        for transaction in self.transactions.values():
            if transaction.state == "open":
                if time.monotonic() < transaction.ends_at:
                    return transaction
                self.abort(transaction)
        return None

    def abort(self, transaction):
        transaction.state = "aborted"
        if transaction.session.transaction_active:
            transaction.session.abort_transaction()

    async def __call__(self, context):
        name, body = context.command_name, context.raw_body
        if name == "configureFailPoint":
            return self.configure(body)
        fault = self.due(name)
        if fault is not None:
            if fault.get("closeConnection"):
                raise asyncio.CancelledError
            if "errorCode" in fault:
                if body.get("autocommit") is False and (known := self.known(body)) and known.state == "open":
                    self.abort(known)
                return refusal(fault["errorCode"], "failCommand", fault.get("errorLabels", ()))
        result = await self.carry_out(context, name, body)
        if fault is not None and "writeConcernError" in fault:
            result = {**result, "writeConcernError": fault["writeConcernError"]}
            result["errorLabels"] = list(fault.get("errorLabels", ()))
        if fault is not None and "role" in fault:
            self.become(fault["role"])
        return result

    async def carry_out(self, context, name, body):
        if name in ("hello", "isMaster", "ismaster"):
            return self.introduced(await self.execute(context))
        if self.role != "primary":
            if name in WRITES or name in ENDS:
                return refusal(10107, "NotWritablePrimary")
            if name in READS:
                return refusal(13435, "NotPrimaryNoSecondaryOk")
        if name in ENDS:
            return await self.end(body, is_commit=name == "commitTransaction")
        if body.get("autocommit") is False:
            return await self.within(context, body)
        if name not in WRITES:
            return await self.execute(context)
        if name == "renameCollection":
            # The driver sends this command to the database `admin`, whatever the collection's database.
            context = dataclasses.replace(context, db_name=body[name].split(".", 1)[0])
        async with self.changed:
            while self.open():
                await self.wait()
            self.writing += 1
        try:
            return await self.execute(context)
        except Exception as error:
            if "already exists" in str(error):
                return refusal(48, "NamespaceExists")
            raise
        finally:
            async with self.changed:
                self.writing -= 1
                self.changed.notify_all()

    async def wait(self):
        """Waits for a change, or until a transaction may have exceeded its lifetime."""
        try:
            await asyncio.wait_for(self.changed.wait(), 1)
        except TimeoutError:
            pass

    def introduced(self, hello):
        if self.role == "alone":
            return hello
        is_primary = self.role == "primary"
        hello = {**hello, "setName": "stand-in", "me": self.address, "isWritablePrimary": is_primary, "setVersion": 1}
        hello |= {"hosts": sorted({self.address, self.primary}), "primary": self.primary, "secondary": not is_primary}
        return hello | ({"electionId": self.election} if is_primary else {})

    def known(self, body):
        return self.transactions.get(str(body["lsid"]["id"]))

    async def within(self, context, body):
        known, number = self.known(body), number_in(body)
        if known and number < known.number:
            return refusal(225, "TransactionTooOld")
        if body.get("startTransaction"):
            if known and known.state == "open":
                self.abort(known)
            store = body[context.command_name].rpartition("_")[0]
            async with self.changed:
                while self.writing or ((other := self.open()) and other.store != store):
                    await self.wait()
                # This transaction began when the command was read, and would show the data of that moment.
                if context.session.transaction_active:
                    context.session.abort_transaction()
                if self.open():
                    return refusal(112, "WriteConflict", TRANSIENT)
                context.session.start_transaction()
                known = Transaction(number, context.session, store)
                self.transactions[str(body["lsid"]["id"])] = known
        elif not known or known.number != number or known.state != "open":
            return refusal(251, "NoSuchTransaction", TRANSIENT)
        try:
            result = await self.execute(context)
        except Exception:
            await self.over(known)
            raise
        if not result.get("ok") or result.get("writeErrors"):
            await self.over(known)
        return result

    async def over(self, transaction):
        async with self.changed:
            self.abort(transaction)
            self.changed.notify_all()

    async def end(self, body, *, is_commit):
        self.open()
        known, number = self.known(body), number_in(body)
        if known and number < known.number:
            return refusal(225, "TransactionTooOld")
        if not known or known.number != number or known.state == "aborted":
            return refusal(251, "NoSuchTransaction", TRANSIENT)
        if known.state == "committed":
            return {"ok": 1.0} if is_commit else refusal(256, "TransactionCommitted")
        if not is_commit:
            await self.over(known)
            return {"ok": 1.0}
        async with self.changed:
            self.changed.notify_all()
            try:
                known.session.commit_transaction()
            except Exception:
                known.state = "aborted"
                return refusal(112, "WriteConflict", TRANSIENT)
            known.state = "committed"
        return {"ok": 1.0}

    def configure(self, body):
        mode, data = body["mode"], body.get("data", {})
        if body["configureFailPoint"] == "role":
            self.become(data["role"], data.get("primary"))
        else:
            times = mode["times"] if isinstance(mode, dict) else float("inf")
            self.fault = None if mode == "off" else [times, data]
        return {"ok": 1.0}

    def become(self, role, primary=None):
        """Gives the server another role. A primary that steps down aborts the open transaction."""
        self.role, self.primary, self.election = role, primary or self.address, election()
        if transaction := self.open():
            self.abort(transaction)

    def due(self, name):
        if self.fault is None or name not in self.fault[1]["failCommands"]:
            return None
        self.fault[0] -= 1
        data = self.fault[1]
        if self.fault[0] <= 0:
            self.fault = None
        return data


def sum_once(modules):
    """Makes mongoeco compute running sums in linear time; it starts from the first document for each document."""
    of_all = modules[0]._apply_set_window_fields

    def of_each(documents, spec, *values, **named):
        if spec.get("output", {}).keys() != {"sum"} or spec["output"]["sum"].keys() != {"$sum", "window"}:
            return of_all(documents, spec, *values, **named)
        if spec["output"]["sum"]["window"] != {"documents": ["unbounded", "current"]} or "partitionBy" in spec:
            return of_all(documents, spec, *values, **named)
        alone = {**spec["output"]["sum"], "window": {"documents": ["current", "current"]}}
        documents = of_all(documents, {**spec, "output": {"sum": alone}}, *values, **named)
        sums = itertools.accumulate(document["sum"] for document in documents)
        for document, total in zip(documents, sums, strict=True):
            document["sum"] = total
        return documents

    for module in modules:
        module._apply_set_window_fields = of_each


async def serve(arguments):
    from mongoeco.core.aggregation import runtime_state, stages
    from mongoeco.engines.memory import MemoryEngine
    from mongoeco.wire import AsyncMongoEcoProxyServer
    from mongoeco.wire.auth import WireAuthUser

    options = {"host": "127.0.0.1", "port": arguments.port}
    if arguments.user:
        name, password = arguments.user.split(":", 1)
        options["auth_users"] = (
            WireAuthUser(username=name, password=password, source="admin", mechanisms=("SCRAM-SHA-256",)),
        )
    # Otherwise mongoeco searches all documents for a new document's `_id`; its map has the answer.
    unique = MemoryEngine._ensure_unique_indexes
    MemoryEngine._ensure_unique_indexes = lambda *values, **named: unique(*values, **named | {"scan_payload_id": False})
    sum_once([runtime_state, stages])
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.tls[1], arguments.tls[0])
        asyncio.start_server = functools.partial(asyncio.start_server, ssl=context)
    server = AsyncMongoEcoProxyServer(**options)
    executor = server._executor
    executor.execute_prepared = Emulation(executor.execute_prepared, f"127.0.0.1:{arguments.port}")
    await server.start()
    await asyncio.Event().wait()


def tell(port, command):
    from bson.json_util import loads
    from pymongo import MongoClient

    with MongoClient("127.0.0.1", port, directConnection=True) as client:
        client.admin.command(loads(command))


def dump(url):
    from bson.json_util import dumps
    from pymongo import MongoClient

    scheme, rest = url.split("://", 1)
    address, query = rest.split("?", 1)
    options = urllib.parse.parse_qs(query)
    name = options.pop("name", ["sessile"])[0]
    authority, _, database = address.partition("/")
    known = {key: values[0] for key, values in options.items() if key in ("authSource", "replicaSet")}
    with MongoClient(f"{scheme}://{authority}/", directConnection="," not in authority, **known) as client:
        for collection in ("sessions", "users", "meta"):
            for document in client[database or "sessile"][f"{name}_{collection}"].find():
                print(dumps(document))
                for value in document.values():
                    if isinstance(value, bytes):
                        # The raw bytes, for tests that search them.
                        sys.stdout.flush()
                        sys.stdout.buffer.write(value + b"\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve")
    serving.add_argument("port", type=int)
    serving.add_argument("--user")
    serving.add_argument("--tls", nargs=2)
    telling = commands.add_parser("tell")
    telling.add_argument("port", type=int)
    telling.add_argument("told")
    dumping = commands.add_parser("dump")
    dumping.add_argument("url")
    arguments = parser.parse_args()
    if arguments.command == "dump":
        dump(arguments.url)
    elif arguments.command == "tell":
        tell(arguments.port, arguments.told)
    else:
        asyncio.run(serve(arguments))


main()
