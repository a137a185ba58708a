"""Asks a vault by the official SDKs of Azure Key Vault, and by plain requests for what is not in them.

vault_client.py PORT ROOT FOLDER CASE…   FOLDER has NAME.pem and NAME.key of each peer
Prints "CASE ok" for each case that is as it should be.
"""

import base64
import datetime
import json
import os
import socket
import ssl
import sys
import time

import requests
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.pipeline.transport import RequestsTransport
from azure.keyvault.keys import KeyClient
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm
from azure.keyvault.secrets import SecretClient

port, root, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
url = f"https://127.0.0.1:{port}"
version = "api-version=7.6"


class Credential:
    """Stands in for Entra ID: the vault knows its peers by their certificates."""

    def get_token(self, *scopes, **options):
        return AccessToken("none", int(time.time()) + 3600)


def certificate(peer):
    return (f"{folder}/{peer}.pem", f"{folder}/{peer}.key")


def options(peer):
    return {
        "credential": Credential(),
        "verify_challenge_resource": False,
        "transport": RequestsTransport(
            connection_verify=root, connection_cert=certificate(peer)),
        "retry_total": 0,
    }


def keys(peer="operator"):
    return KeyClient(vault_url=url, **options(peer))


def secrets(peer="operator"):
    return SecretClient(vault_url=url, **options(peer))


def crypto(key, peer="operator"):
    return CryptographyClient(key, **options(peer))


def ask(method, path, peer="operator", body=None, **more):
    return requests.request(
        method, f"{url}{path}{'&' if '?' in path else '?'}{version}", json=body, verify=root,
        cert=certificate(peer) if peer else None, timeout=60, **more)


def text(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refused(call, status, code, inner=None):
    try:
        call()
    except HttpResponseError as error:
        found = error.error
        assert error.status_code == status, error
        assert found.code == code, found
        assert inner is None or found.innererror["code"] == inner, found.innererror
        return
    raise AssertionError(f"not refused with {status}")


def wait(poller):
    poller.wait()
    return poller.result()


def case_keys():
    client = keys()
    first = client.create_rsa_key("sdk-key", tags={"of": "test"})
    assert first.key_type == "RSA" and len(first.key.n) == 384, first.key_type
    assert client.get_key("sdk-key").id == first.id
    assert client.get_key("sdk-key", first.properties.version).properties.tags == {"of": "test"}
    second = client.rotate_key("sdk-key")
    assert second.properties.version != first.properties.version
    assert client.get_key("sdk-key").id == second.id
    listed = [item.version for item in client.list_properties_of_key_versions("sdk-key")]
    assert listed == [second.properties.version, first.properties.version], listed
    assert "sdk-key" in [item.name for item in client.list_properties_of_keys()]

    secret = os.urandom(32)
    for key in (first, second):
        user = crypto(key.id)
        wrapped = user.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, secret)
        assert user.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == secret
        sealed = user.encrypt(EncryptionAlgorithm.rsa_oaep_256, secret)
        opened = user.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed.ciphertext)
        assert opened.plaintext == secret
    # What the vault itself wraps, not the client under the public half.
    path = f"/keys/sdk-key/{first.properties.version}"
    answer = ask("POST", f"{path}/wrapkey", body={"alg": "RSA-OAEP-256", "value": text(secret)})
    assert answer.status_code == 200 and answer.json()["kid"] == first.id, answer.text
    answer = ask("POST", f"{path}/unwrapkey", body=answer.json() | {"alg": "RSA-OAEP-256"})
    assert answer.json()["value"] == text(secret), answer.text
    damaged = {"alg": "RSA-OAEP-256", "value": text(os.urandom(384))}
    assert ask("POST", f"{path}/unwrapkey", body=damaged).status_code == 400

    wrapped = crypto(first.id).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, secret).encrypted_key

    def unwrap():
        # A client of its own: one that has seen the key goes by what it saw.
        return crypto(first.id).unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped)

    def direct():
        body = {"alg": "RSA-OAEP-256", "value": text(wrapped)}
        answer = ask("POST", f"{path}/unwrapkey", body=body)
        error = answer.json()["error"]
        return answer.status_code, error["code"], error.get("innererror", {}).get("code")

    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    update = lambda **what: client.update_key_properties(
        "sdk-key", first.properties.version, **what)
    assert update(enabled=False).properties.enabled is False
    assert direct() == (403, "Forbidden", "KeyDisabled"), direct()
    assert client.get_key("sdk-key", first.properties.version).properties.enabled is False
    update(enabled=True)
    assert unwrap().key == secret
    update(not_before=now + hour, expires_on=now + 2 * hour)
    assert direct() == (403, "Forbidden", "KeyNotYetValid"), direct()
    update(not_before=now - 2 * hour, expires_on=now - hour)
    assert direct() == (403, "Forbidden", "KeyExpired"), direct()
    update(not_before=now - 2 * hour, expires_on=now + hour)
    assert unwrap().key == secret

    deleted = wait(client.begin_delete_key("sdk-key"))
    assert deleted.recovery_id and deleted.scheduled_purge_date > now
    refused(lambda: client.get_key("sdk-key"), 404, "KeyNotFound")
    refused(lambda: client.create_rsa_key("sdk-key"), 409, "Conflict",
            "ObjectIsDeletedButRecoverable")
    assert direct() == (404, "KeyNotFound", None), direct()
    assert "sdk-key" in [item.name for item in client.list_deleted_keys()]
    wait(client.begin_recover_deleted_key("sdk-key"))
    assert unwrap().key == secret
    wait(client.begin_delete_key("sdk-key"))
    client.purge_deleted_key("sdk-key")
    refused(lambda: client.get_deleted_key("sdk-key"), 404, "KeyNotFound")
    assert client.create_rsa_key("sdk-key", size=4096).key.n.__len__() == 512
    refused(lambda: client.create_rsa_key("small", size=2048), 400, "BadParameter")
    refused(lambda: client.create_ec_key("curve"), 400, "BadParameter")


def case_secrets():
    client = secrets()
    first = client.set_secret("sdk-secret", "planted-value-1", content_type="text/plain")
    second = client.set_secret("sdk-secret", "planted-value-2", tags={"a": "b"})
    assert client.get_secret("sdk-secret").value == "planted-value-2"
    found = client.get_secret("sdk-secret", first.properties.version)
    assert found.value == "planted-value-1" and found.properties.content_type == "text/plain"
    versions = list(client.list_properties_of_secret_versions("sdk-secret"))
    assert [item.version for item in versions] == [
        second.properties.version, first.properties.version]
    listed = ask("GET", "/secrets").text
    assert "sdk-secret" in listed and "planted" not in listed
    client.update_secret_properties("sdk-secret", second.properties.version, enabled=False)
    refused(lambda: client.get_secret("sdk-secret"), 403, "Forbidden", "SecretDisabled")
    client.update_secret_properties("sdk-secret", second.properties.version, enabled=True)
    assert client.get_secret("sdk-secret").value == "planted-value-2"
    wait(client.begin_delete_secret("sdk-secret"))
    refused(lambda: client.get_secret("sdk-secret"), 404, "SecretNotFound")
    assert "sdk-secret" in [item.name for item in client.list_deleted_secrets()]
    wait(client.begin_recover_deleted_secret("sdk-secret"))
    assert client.get_secret("sdk-secret").value == "planted-value-2"
    client.set_secret("gone", "planted-gone")
    wait(client.begin_delete_secret("gone"))
    client.purge_deleted_secret("gone")
    refused(lambda: client.get_deleted_secret("gone"), 404, "SecretNotFound")
    refused(lambda: client.set_secret("large", "x" * 30000), 400, "BadParameter")


def case_kept():
    """After a restart; what case_secrets left."""
    assert secrets().get_secret("sdk-secret").value == "planted-value-2"
    assert keys().get_key("sdk-key").key.n.__len__() == 512


def case_paging():
    client = secrets()
    for number in range(30):
        client.set_secret(f"page-{number:02}", "x")
    names = [item.name for item in client.list_properties_of_secrets(max_page_size=7)]
    assert [name for name in names if name.startswith("page-")] == [
        f"page-{number:02}" for number in range(30)], names
    page = ask("GET", "/secrets?maxresults=3").json()
    assert len(page["value"]) == 3 and "$skiptoken=" in page["nextLink"], page
    assert ask("GET", "/secrets?maxresults=26").status_code == 400
    assert ask("GET", "/secrets?$skiptoken=%00").status_code == 400


def case_policy():
    """Who has no right gets the same answer, whether or not there is something."""
    keys().create_rsa_key("log-a")
    key = keys("writer").get_key("log-a")
    sealed = crypto(key, "writer").wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"k" * 32)
    body = {"alg": "RSA-OAEP-256", "value": text(sealed.encrypted_key)}
    path = f"/keys/log-a/{key.properties.version}/unwrapkey"
    assert ask("POST", path, "reader", body).json()["value"] == text(b"k" * 32)
    answers = {
        ask("POST", path, "writer", body).text,
        ask("POST", "/keys/log-none/unwrapkey", "writer", body).text,
        ask("GET", "/keys/other", "writer").text,
        ask("GET", "/keys/log-a", "stranger").text,
        ask("GET", "/keys/none", "stranger").text,
        ask("GET", "/keys", "stranger").text,
        ask("DELETE", "/keys/log-a", "reader").text,
        ask("GET", "/secrets/sdk-secret", "reader").text,
    }
    assert len(answers) == 1, answers
    error = json.loads(answers.pop())["error"]
    assert (error["code"], error["innererror"]["code"]) == ("Forbidden", "AccessDenied")
    keys().create_rsa_key("other")
    listed = [item.name for item in keys("reader").list_properties_of_keys()]
    assert "log-a" in listed and "other" not in listed, listed
    # Another trust domain under the same root, and nobody's certificate at all.
    for peer in ("foreign-domain", "foreign-root", None):
        try:
            answer = ask("GET", "/keys/log-a", peer)
        except requests.exceptions.RequestException:
            continue
        raise AssertionError(f"{peer} got {answer.status_code}")


def case_rewrap():
    client = keys()
    old = client.create_rsa_key("log-rewrap")
    secret = [os.urandom(64) for _ in range(20)]
    user = crypto(old)
    items = [
        {"version": old.properties.version, "alg": "RSA-OAEP-256",
         "value": text(user.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, one).encrypted_key)}
        for one in secret]
    new = client.rotate_key("log-rewrap")
    damaged = items[0] | {"value": text(os.urandom(384))}
    unknown = items[0] | {"version": "0" * 32}
    answer = ask("POST", "/keys/log-rewrap/rewrap", "rewrap",
                 {"items": items + [damaged, unknown]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["kid"] == new.id and len(body["items"]) == 22
    assert [item.get("error") for item in body["items"][20:]] == ["BadParameter", "KeyNotFound"]
    reader = crypto(new)
    for one, item in zip(secret, body["items"]):
        wrapped = base64.urlsafe_b64decode(item["value"] + "==")
        assert reader.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key == one
    assert not any(text(one)[:40] in answer.text for one in secret)
    many = {"items": items[:1] * 257}
    assert ask("POST", "/keys/log-rewrap/rewrap", "rewrap", many).status_code == 400
    assert ask("POST", "/keys/log-rewrap/rewrap", "reader", {"items": items}).status_code == 403
    start = time.monotonic()
    batch = {"items": items[:1] * 256}
    assert ask("POST", "/keys/log-rewrap/rewrap", "rewrap", batch).status_code == 200
    print(f"rewrap: {256 / (time.monotonic() - start):.0f} entries a second", file=sys.stderr)


def case_again():
    """A request sent again makes no other version; a change of something older is refused."""
    client = keys()
    client.create_rsa_key("log-again")
    header = {"x-ms-client-request-id": "the-same"}
    first = ask("POST", "/keys/log-again/rotate", headers=header).json()["key"]["kid"]
    assert ask("POST", "/keys/log-again/rotate", headers=header).json()["key"]["kid"] == first
    assert ask("POST", "/keys/log-again/rotate").json()["key"]["kid"] != first
    newest = client.get_key("log-again").properties.version
    stale = ask("POST", "/keys/log-again/rotate",
                headers={"If-Match": f'"{first.rsplit("/")[-1]}"'})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "ConditionNotMet")
    assert ask("POST", "/keys/log-again/rotate",
               headers={"If-Match": f'"{newest}"'}).status_code == 200
    found = ask("GET", "/keys/log-again")
    tag = found.headers["ETag"]
    change = {"tags": {"a": "1"}}
    assert ask("PATCH", "/keys/log-again", body=change,
               headers={"If-Match": tag}).status_code == 200
    assert ask("PATCH", "/keys/log-again", body=change,
               headers={"If-Match": tag}).status_code == 412


def case_bad():
    """What is not as it should be."""
    create = "/keys/log-bad/create"
    assert ask("POST", create, data="x" * 65537).status_code == 413
    for body in ("{", "[]", "{}", '{"kty":1}', '"x"', '{"kty":"RSA","key_ops":["sign"]}',
                 '{"kty":"RSA","attributes":{"exp":-1}}', '{"kty":"RSA","attributes":{"nbf":2,"exp":1}}',
                 '{"kty":"RSA","attributes":{"exportable":true}}'):
        answer = ask("POST", create, data=body)
        assert answer.status_code == 400, (body, answer.text)
    assert ask("GET", "/keys/log%2Fbad").status_code == 400
    assert ask("GET", "/keys/" + "a" * 128).status_code == 400
    assert ask("GET", "/nothing").status_code == 404
    assert ask("POST", create, data="").status_code == 401
    cert = certificate("operator")
    bare = requests.get(f"{url}/keys/log-a", verify=root, cert=cert, timeout=60)
    assert bare.status_code == 400 and "api-version" in bare.text
    bare = requests.get(f"{url}/keys/log-a?api-version=1.0", verify=root, cert=cert, timeout=60)
    assert bare.status_code == 400
    for path in ("/healthz", "/readyz"):
        assert ask("GET", path).status_code == 200


class Events:
    """A stream of events, read line by line."""

    def __init__(self, peer, last=None):
        headers = {"Last-Event-ID": last} if last else {}
        self.answer = requests.get(
            f"{url}/events", verify=root, cert=certificate(peer), stream=True, timeout=60,
            headers=headers)
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        self.lines = self.answer.iter_lines(chunk_size=1)
        self.beats = 0

    def next(self):
        event = {}
        for line in self.lines:
            line = line.decode()
            if line.startswith(":"):
                self.beats += 1
            elif line:
                name, value = line.split(": ", 1)
                event[name] = value
            elif "data" in event:
                return event
            elif not line:
                event = {}
        raise AssertionError("the stream ended")

    def change(self):
        event = self.next()
        data = json.loads(event["data"])
        return data["name"], data["state"]


def case_events():
    client = keys()
    all_of_them, few = Events("operator"), Events("writer")
    key = client.create_rsa_key("log-events")
    client.create_rsa_key("private")
    assert all_of_them.change() == ("log-events", "created")
    event = all_of_them.next()
    assert json.loads(event["data"])["name"] == "private", event
    client.update_key_properties("log-events", enabled=False)
    client.update_key_properties("log-events", enabled=True)
    client.rotate_key("log-events")
    wait(client.begin_delete_key("log-events"))
    wait(client.begin_recover_deleted_key("log-events"))
    wait(client.begin_delete_key("log-events"))
    client.purge_deleted_key("log-events")
    expected = ["disabled", "enabled", "rotated", "deleted", "recovered", "deleted", "purged"]
    assert [all_of_them.change() for _ in expected] == [("log-events", s) for s in expected]
    # The writer may not get the key "private", and does not hear of it.
    assert few.change() == ("log-events", "created")
    assert [few.change() for _ in expected] == [("log-events", s) for s in expected]
    # Resumed after an event, the ones after it come again; after an unknown one there is a reset.
    again = Events("operator", event["id"])
    assert [again.change() for _ in expected] == [("log-events", s) for s in expected]
    assert Events("operator", "old-1").next()["event"] == "reset"
    # Heartbeats come without any change.
    quiet = Events("operator")
    while quiet.beats < 2:
        line = next(quiet.lines)
        quiet.beats += line.startswith(b":")


for name in sys.argv[4:]:
    globals()[f"case_{name}"]()
    print(f"{name} ok", flush=True)
