extension ConfigurationFileTests {
    /// What may be wrong, one thing each.
    static let cases: [ConfigurationCase] = [
        // The format.
        .init(
            "workers: 2", "wrokers: 2", "5:1: unknown key \"wrokers\"; did you mean \"workers\"?"),
        .init(
            "proxy_protocol: v2", "colour: v2",
            "12:5: unknown key \"colour\"; known are address, proxy_protocol, tls"),
        .init("workers: 2", "workers: two", "5:10: expected a whole number, found text"),
        .init(
            "workers: 2", "workers: \"2\"", "5:10: expected a whole number, found text in quotes"),
        .init("workers: 2", "workers:", "5:9: expected a whole number, found nothing"),
        .init("workers: 2", "workers: 0", "5:10: 0 is out of range: 1 to 256"),
        .init(
            "workers: 2", "workers: &n 2",
            "5:10: anchors and aliases are not allowed: write the value out"),
        .init(
            "workers: 2", "workers: !!int 2", "5:10: tags are not allowed: tag:yaml.org,2002:int"),
        .init("workers: 2", "state: x", "3:1: key \"state\" stands here more than once"),
        .init("state: ./state\n", "", "1:1: missing key \"state\""),
        .init(
            "[10.0.0.0/8, \"fd00::/8\"]", "10.0.0.0/8",
            "8:18: expected a list, found text"),
        .init(
            "{path: stdout, format: json}", "stdout", "6:13: expected a mapping, found text"),
        .init("format: json", "format: text", "6:36: \"text\" is not one of json"),
        // Not yet.
        .init("workers: 2", "vault: {}", "5:8: missing key \"base_url\""),
        .init("workers: 2", "log: {}", "5:6: missing key \"directory\""),
        .init(
            "workers: 2", "log: {directory: state/log}",
            "5:18: the log must not lie inside the state folder"),
        .init("hbi: false", "hbi: 1", "27:10: expected true or false, found a number"),
        .init(
            "workers: 2", "log: {directory: log, retention_days: 0, queue_bytes: 1}",
            "5:39: 0 is out of range: 1 to 36500",
            "5:55: 1 is out of range: 1048576 to 17179869184"),
        .init(
            "header_bytes: 65536, body_bytes: 104857600", "header_bytes: 1, body_bytes: -1",
            "9:44: 1 is out of range: 1024 to 1048576",
            "9:59: -1 is out of range: 0 to 1099511627776"),
        .init(
            "protocol: http1", "readiness_probe: {period: 0, timeout: 0}",
            "33:35: 0 is out of range: 1 to 3600", "33:47: 0 is out of range: 1 to 600"),
        .init(
            "hbi: false", "hbi: true",
            "27:10: hbi: true serves nothing unlogged: every deployment needs a data_collector with "
                + "sampling_rate 1 and a collection that is enabled"),
        .init(
            "hbi: false", "encryption: {cmk_key_name: a}",
            "27:17: missing key \"cmk_vault_base_url\""),
        .init(
            "hbi: false", "mirror_traffic: {green: 1}", "27:5: not supported yet: mirror_traffic"),
        .init(
            "hbi: false", "extended_mirroring: true", "27:5: not supported yet: extended_mirroring"),
        .init(
            "hbi: false", "hbi: true\n    websocket: true",
            "27:10: hbi: true serves nothing unlogged: every deployment needs a data_collector with "
                + "sampling_rate 1 and a collection that is enabled",
            "28:16: hbi: true serves nothing unlogged, and what WebSocket clients send is not logged"
        ),
        .init("hbi: false", "websocket: maybe", "27:16: expected true or false, found text"),
        .init("protocol: http1", "protocol: http3", "33:19: \"http3\" is not one of http1, http2"),
        .init(
            "protocol: http1", "readiness_probe: {path: live}",
            "33:33: \"live\" is not a path: it begins with / and has no space or #"),
        .init(
            "protocol: http1", "readiness_probe: {period: 0}",
            "33:35: 0 is out of range: 1 to 3600"),
        .init(
            "protocol: http1", "data_collector: {collections: {}}",
            "33:25: data_collector needs \"log\": the folder of the sealed log"),
        .init(
            "request_timeout_ms: 1000", "max_queue_wait_ms: 1",
            "34:28: not supported yet: max_queue_wait_ms"),
        .init(
            "request_timeout_ms: 1000", "max_concurrent_requests_per_instance: 1",
            "34:28: not supported yet: max_concurrent_requests_per_instance"),
        .init("kind: gateway", "kind: vault", "2:17: \"vault\" is not one of gateway, agent"),
        .init(
            "    auth_mode: mtls", "    auth_mode: mtls\n    allowed_identities: []",
            "41:25: the list is empty: name who may call"),
        // Addresses and identities.
        .init(
            "10.0.0.0/8", "10.0.0.1/8",
            "8:19: \"10.0.0.1/8\" is neither an address range such as 10.0.0.0/8 nor unix"),
        .init(
            "0.0.0.0:8443", "gateway:8443",
            "11:14: \"gateway:8443\" is not an address to listen on: 0.0.0.0:8443, [::]:8443 or unix:PATH"
        ),
        .init(
            "spiffe://scoregate.local/agent/blue", "spiffe://elsewhere/agent/blue",
            "32:27: spiffe://elsewhere/agent/blue is not of this gateway's trust domain, scoregate.local"
        ),
        .init(
            "\"https://blue.example.com\"", "\"unix:blue\"",
            "32:27: backend_identity needs https backends: nothing else shows an identity"),
        .init(
            "identity: {chain: identity.pem, key: identity.key, trust_roots: roots.pem}\n", "",
            "30:20: an https backend needs \"identity\": the gateway's certificate and the roots that the backend's must lead to",
            "30:46: an https backend needs \"identity\": the gateway's certificate and the roots that the backend's must lead to"
        ),
        .init(
            "http://127.0.0.1:5001", "http://10.0.0.1:5001",
            "37:44: the leg from the gateway to http://10.0.0.1:5001 would be plaintext beyond this host: use https:// or a loopback address"
        ),
        .init(
            "http://127.0.0.1:5001", "ftp://127.0.0.1",
            "37:44: \"ftp://127.0.0.1\" is not a backend: https://HOST:PORT, unix:PATH, or http://127.0.0.1:PORT; without a path"
        ),
        .init(
            "http://127.0.0.1:5001", "unix:/run/model.sock",
            "37:44: unix:/run/model.sock is listed twice"),
        .init(
            "[10.0.0.0/8, \"fd00::/8\"]", "[]",
            "12:21: proxy_protocol needs an address range in \"trusted_proxies\": nobody else is believed"
        ),
        .init(
            "trusted_proxies: [10.0.0.0/8, \"fd00::/8\"]\n", "",
            "11:21: proxy_protocol needs an address range in \"trusted_proxies\": nobody else is believed"
        ),
        .init(
            "unix:./state/admin.sock", "127.0.0.1:1"),
        .init(
            "address: 0.0.0.0:8443", "address: unix:gateway.sock",
            "12:21: proxy_protocol on a Unix socket needs \"unix\" in \"trusted_proxies\": nobody else connects"
        ),
        .init(
            "[10.0.0.0/8, \"fd00::/8\"]", "[unix]",
            "12:21: proxy_protocol needs an address range in \"trusted_proxies\": nobody else is believed"
        ),
        .init(
            "[10.0.0.0/8, \"fd00::/8\"]", "[10.0.0.0/8, Unix]",
            "8:31: \"Unix\" is neither an address range such as 10.0.0.0/8 nor unix"),
        // Endpoints.
        .init(
            "  wine:", "  w--e:",
            "38:3: \"w--e\" is not a name for an endpoint: a letter, then letters, digits and single dashes, 3 to 32 in all"
        ),
        .init(
            "wine.apps.example.com", "wine.example.com",
            "39:13: no certificate of a listener covers the host \"wine.example.com\""),
        .init(
            "wine.apps.example.com", "\"*.apps.example.com\"",
            "39:13: \"*.apps.example.com\" is not a host name: no port, no wildcard, no path"),
        .init(
            "    hosts: [wine.apps.example.com]\n", "",
            "39:5: missing key \"hosts\": only a sole endpoint may do without"),
        .init(
            "[wine.apps.example.com]", "[iris.example.com]\n    path_prefix: /iris",
            "39:13: host \"iris.example.com\" with path_prefix \"/iris\" already leads to endpoint \"iris\""
        ),
        .init(
            "path_prefix: /iris", "path_prefix: /iris/",
            "23:18: \"/iris/\" is not a path prefix: as /iris, of letters, digits, - . _ ~, without / at its end"
        ),
        .init("green: 10", "green: 20", "26:14: traffic sums to 110; it must be 0 or 100"),
        .init(
            "green: 10", "gren: 10",
            "26:25: traffic names an unknown deployment \"gren\"; did you mean \"green\"?"),
        .init(
            "    traffic: {blue: 90, green: 10}\n", "",
            "29:7: several deployments need \"traffic\": their shares in percent"),
        .init(
            "request_timeout_ms: 1000", "request_timeout_ms: 180001",
            "34:48: 180001 is out of range: 1 to 180000"),
        .init(
            "      client_authentication: optional\n      client_trust_roots: roots.pem\n", "",
            "38:16: auth_mode mtls needs a listener with client_authentication: required or optional"
        ),
        // Files.
        .init("chain: gateway.pem", "chain: none.pem", "14:30: none.pem: no such file"),
        .init("key: gateway.key", "key: root.key", "14:48: root.key: no private key…"),
        .init(
            "key: gateway.key", "key: identity.key",
            "14:48: identity.key: the key does not belong to the certificate in gateway.pem"),
        .init(
            "chain: gateway.pem, key: gateway.key", "chain: expired.pem, key: expired.key",
            "14:30: expired.pem: the certificate expired on …"),
        .init(
            "client_trust_roots: roots.pem", "client_trust_roots: root.key",
            "17:27: root.key: no certificate in PEM"),
        .init(
            "client_trust_roots: roots.pem",
            "client_trust_roots: roots.pem\n      client_revocation_lists: roots.pem",
            "18:32: roots.pem: no revocation list in PEM"),
        .init(
            "{file: root.key}", "{file: state/root.key}",
            "4:11: the root key must not lie inside the state folder it protects",
            "4:18: root key state/root.key: no such file"),
        .init("{file: root.key}", "{}", "4:11: root_key needs either file or credential"),
        .init(
            "{file: root.key}", "{file: roots.pem}",
            "4:18: root key roots.pem: it must hold 32 bytes or 64 hexadecimal digits, as from: openssl rand -hex 32"
        ),
    ]
}
