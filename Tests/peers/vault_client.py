"""Asks a vault by the official SDKs of Azure Key Vault, and by plain requests for what is not in them.

vault_client.py PORT ROOT FOLDER CASE…   FOLDER has NAME.pem and NAME.key of each peer
Prints "CASE ok" for each case that is as it should be.
"""

import base64
import datetime
import json
import os
import sqlite3
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


def case_revoked():
    """The policy no longer names the writer."""
    assert ask("GET", "/keys/log-a", "writer").status_code == 403
    assert ask("GET", "/keys/log-a", "reader").status_code == 200


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
    ops = lambda *names: client.update_key_properties(
        "log-rewrap", old.properties.version, key_operations=list(names))
    ops("encrypt", "decrypt", "wrapKey")
    refused = ask("POST", "/keys/log-rewrap/rewrap", "rewrap", {"items": items[:1]}).json()
    assert [item.get("error") for item in refused["items"]] == ["BadParameter"], refused
    ops("encrypt", "decrypt", "wrapKey", "unwrapKey")
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
    # A secret is the same request only with the same value.
    made = [ask("PUT", "/secrets/again", headers=header, body={"value": value}).json()
            for value in ("planted-1", "planted-1", "planted-2", "planted-2", "planted-1")]
    assert [one["value"] for one in made] == [
        "planted-1", "planted-1", "planted-2", "planted-2", "planted-1"]
    identities = [one["id"] for one in made]
    assert identities[0] == identities[1] and identities[2] == identities[3]
    assert len(set(identities)) == 3
    for one in made:
        kept = ask("GET", "/secrets/again/" + one["id"].rsplit("/")[-1]).json()["value"]
        assert kept == one["value"]
    assert ask("GET", "/secrets/again").json()["value"] == "planted-1"


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
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/keys/log-bad/create", 405),
                                 ("POST", "/secrets/log-bad", 405)):
        answer = ask(method, path)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["error"]["code"] in ("NotFound", "MethodNotAllowed"), answer.text
    assert set(answer.headers["Allow"].split(", ")) == {"PUT", "GET", "PATCH", "DELETE"}
    assert ask("HEAD", "/keys").status_code == 405
    assert ask("PUT", "/secrets/bad", body={"value": "planted-1"}).status_code == 200
    for method, path, body in (
            ("GET", f"/keys?{version}", None), ("GET", "/keys?maxresults=1&maxresults=2", None),
            ("PATCH", "/secrets/bad", {"value": "planted-2"}),
            ("GET", "/secrets/bad/versions?$skiptoken=abc", None)):
        answer = ask(method, path, body=body)
        assert answer.status_code == 400, (path, answer.text)
        assert answer.json()["error"]["code"] == "BadParameter", answer.text
    assert ask("POST", create, data="").status_code == 401
    cert = certificate("operator")
    bare = requests.get(f"{url}/keys/log-a", verify=root, cert=cert, timeout=60)
    assert bare.status_code == 400 and "api-version" in bare.text
    bare = requests.get(f"{url}/keys/log-a?api-version=1.0", verify=root, cert=cert, timeout=60)
    assert bare.status_code == 400
    for path in ("/healthz", "/readyz"):
        assert ask("GET", path).status_code == 200


def state_files():
    """What the vault keeps, as it lies on the disk."""
    for path, _, names in os.walk(f"{folder}/state"):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                yield name, file.read()


def case_sealed():
    """Nothing that is a secret lies in the clear; what was purged is gone, sealed or not."""
    files = dict(state_files())
    assert "state.sqlite" in files, files.keys()
    for name, data in files.items():
        for secret in (b"planted", b"PRIVATE KEY", base64.b64encode(b"planted-value-2")):
            assert secret not in data, (name, secret)
    assert b"sdk-secret" in b"".join(files.values())
    for mode in (os.stat(f"{folder}/state/state.sqlite").st_mode,):
        assert mode & 0o077 == 0, oct(mode)


def audit(where="1"):
    database = sqlite3.connect(f"file:{folder}/state/state.sqlite?mode=ro", uri=True)
    return database.execute(
        f"SELECT actor, action, subject, detail FROM audit WHERE {where} ORDER BY id").fetchall()


def case_audit():
    """Every use is there: who, what, with what, what came of it; and never a value."""
    operator, writer = "spiffe://test.local/operator/ops", "spiffe://test.local/gateway/edge"
    serial = audit()[-1][3].rsplit(" ", 1)[1]
    assert len(serial) == 32 and int(serial, 16), serial
    assert all(row[3].split("; certificate ")[0] for row in audit())
    def found(actor, action, subject, result):
        rows = [row for row in audit() if row[0] == actor and row[1] == action
                and row[2].startswith(subject) and row[3].startswith(f"{result}; ")]
        assert rows, (actor, action, subject, result)
    found(operator, "create", "keys/sdk-key/", "done")
    found(operator, "rotate", "keys/sdk-key/", "done")
    found(operator, "unwrapKey", "keys/sdk-key/", "done")
    found(operator, "unwrapKey", "keys/sdk-key/", "KeyDisabled")
    found(operator, "unwrapKey", "keys/sdk-key/", "BadParameter")
    found(operator, "purge", "keys/sdk-key", "done")
    found(operator, "get", "secrets/sdk-secret/", "done")
    found(writer, "unwrapKey", "keys/log-a/", "AccessDenied")
    found("spiffe://test.local/rewrap/main", "rewrap", "keys/log-rewrap/", "done")
    assert "planted" not in repr(audit())
    assert max(len(row[2]) for row in audit()) < 200
    found(operator, "get", "keys/?", "BadParameter")


def case_token():
    """A vault with a PKCS#11 token: AES keys stay in it, RSA keys are sealed by it."""
    def protection(name):
        return ask("GET", f"/keys/{name}").json()["attributes"]["protection"]

    client = keys()
    key = client.create_oct_key("log-token", hardware_protected=True)
    assert key.key_type == "oct-HSM" and key.key.k is None
    assert protection("log-token") == "token"
    client.create_rsa_key("log-sealed")
    assert protection("log-sealed") == "token key"
    user = crypto(client.get_key("log-sealed"))
    wrapped = user.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, b"s" * 64)
    assert user.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == b"s" * 64
    # This token knows OAEP with SHA-1 only.
    refused(lambda: client.create_rsa_key("inside", hardware_protected=True), 400, "BadParameter")
    # AES key wrap, by the official client.
    secret = os.urandom(64)
    user = crypto(key)
    wrapped = user.wrap_key(KeyWrapAlgorithm.aes_256, secret).encrypted_key
    assert len(wrapped) == 72
    assert user.unwrap_key(KeyWrapAlgorithm.aes_256, wrapped).key == secret
    path = f"/keys/log-token/{key.properties.version}"
    damaged = bytes([wrapped[0] ^ 1]) + wrapped[1:]
    answer = ask("POST", f"{path}/unwrapkey", body={"alg": "A256KW", "value": text(damaged)})
    assert answer.status_code == 400, answer.text
    # AES-GCM, bound to a context.
    body = {"alg": "A256GCM", "value": text(secret), "aad": text(b"stream 1")}
    sealed = ask("POST", f"{path}/wrapkey", body=body).json()
    assert len(sealed["iv"]) == 16 and len(sealed["tag"]) == 22, sealed
    opened = ask("POST", f"{path}/unwrapkey", body=sealed)
    assert opened.json()["value"] == text(secret), opened.text
    for change in ({"aad": text(b"stream 2")}, {"tag": text(bytes(16))}, {"iv": text(bytes(12))},
                   {"value": text(os.urandom(64))}, {"aad": None}, {"tag": None}):
        answer = ask("POST", f"{path}/unwrapkey", body=sealed | change)
        assert answer.status_code == 400, (change, answer.text)
    # And after that it still works: what was damaged was not the token.
    assert ask("POST", f"{path}/unwrapkey", body=sealed).status_code == 200
    new = client.rotate_key("log-token")
    items = [{"version": key.properties.version} | sealed]
    rewrapped = ask("POST", "/keys/log-token/rewrap", "rewrap", {"items": items}).json()
    assert rewrapped["kid"] == new.id, rewrapped
    item = rewrapped["items"][0]
    assert item["alg"] == "A256GCM" and item["value"] != sealed["value"], item
    opened = ask("POST", f"/keys/log-token/{new.properties.version}/unwrapkey", body=item)
    assert opened.json()["value"] == text(secret), opened.text
    with open(f"{folder}/token.json", "w") as file:
        json.dump({"path": path, "sealed": sealed, "secret": text(secret)}, file)
    secrets().set_secret("token-secret", "planted-token")
    wait(client.begin_delete_key("log-sealed"))
    client.purge_deleted_key("log-sealed")
    client.create_oct_key("gone", hardware_protected=True)
    wait(client.begin_delete_key("gone"))
    client.purge_deleted_key("gone")


def case_rsatoken():
    """A token that opens RSA-OAEP with SHA-256: there RSA keys may stay inside."""
    client = keys()
    old = client.create_rsa_key("log-inside", size=3072, hardware_protected=True)
    assert old.key_type == "RSA-HSM" and len(old.key.n) == 384 and old.key.e == b"\1\0\1", old.key
    attributes = ask("GET", "/keys/log-inside").json()["attributes"]
    assert attributes["protection"] == "token", attributes
    # One that may be outside is sealed by it, as ever.
    client.create_rsa_key("log-sealed")
    attributes = ask("GET", "/keys/log-sealed").json()["attributes"]
    assert attributes["protection"] == "token key", attributes
    secret = os.urandom(64)
    user = crypto(old)
    wrapped = user.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, secret).encrypted_key
    assert user.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key == secret
    path = f"/keys/log-inside/{old.properties.version}"
    answer = ask("POST", f"{path}/wrapkey", body={"alg": "RSA-OAEP-256", "value": text(secret)})
    opened = ask("POST", f"{path}/unwrapkey", body=answer.json() | {"alg": "RSA-OAEP-256"})
    assert opened.json()["value"] == text(secret), opened.text
    for damaged in (os.urandom(384), wrapped[:-1], wrapped + b"x", b"x"):
        body = {"alg": "RSA-OAEP-256", "value": text(damaged)}
        assert ask("POST", f"{path}/unwrapkey", body=body).status_code == 400, damaged
    body = {"alg": "A256KW", "value": text(secret)}
    assert ask("POST", f"{path}/wrapkey", body=body).status_code == 400
    new = client.rotate_key("log-inside")
    assert new.key_type == "RSA-HSM" and new.key.n != old.key.n
    item = {"version": old.properties.version, "alg": "RSA-OAEP-256", "value": text(wrapped)}
    rewrapped = ask("POST", "/keys/log-inside/rewrap", "rewrap", {"items": [item]}).json()
    assert rewrapped["kid"] == new.id, rewrapped
    body = {"alg": "RSA-OAEP-256", "value": rewrapped["items"][0]["value"]}
    opened = ask("POST", f"/keys/log-inside/{new.properties.version}/unwrapkey", body=body)
    assert opened.json()["value"] == text(secret), opened.text
    with open(f"{folder}/token.json", "w") as file:
        json.dump({"path": path, "sealed": item, "secret": text(secret)}, file)
    secrets().set_secret("token-secret", "planted-token")
    client.create_rsa_key("gone", hardware_protected=True)
    wait(client.begin_delete_key("gone"))
    client.purge_deleted_key("gone")


def kept():
    with open(f"{folder}/token.json") as file:
        left = json.load(file)
    answer = ask("POST", f"{left['path']}/unwrapkey", body=left["sealed"])
    return answer, left["secret"]


def case_tokenkept():
    """What case_token or case_rsatoken left, after a restart or when the token is back."""
    answer, secret = kept()
    assert answer.status_code == 200 and answer.json()["value"] == secret, answer.text
    assert secrets().get_secret("token-secret").value == "planted-token"


def case_tokengone():
    """The token was pulled out: an error that says nothing of it, and the vault is not ready."""
    answer, _ = kept()
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == "ServiceUnavailable"
    assert ask("GET", "/readyz").status_code == 503
    assert ask("GET", "/healthz").status_code == 200


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


def case_hold():
    """A stream that is open when the vault is told to stop ends as a whole answer does."""
    stream = Events("reader")
    open(f"{folder}/holding", "w").close()
    for line in stream.lines:
        assert line == b"" or line.startswith((b":", b"retry")), line


for name in sys.argv[4:]:
    globals()[f"case_{name}"]()
    print(f"{name} ok", flush=True)
