internal import ArgumentParser
internal import HTTPTransport
internal import LoadTest
internal import NIOCore

extension InferenceAPI: ExpressibleByArgument {}

/// What is sent.
struct LoadRequestOptions: ParsableArguments {
    @Option(help: "GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS (POST with a body, else GET).")
    var method: String?

    @Option(
        help: """
            The body; {{sequence}}, {{uuid}}, {{random A B}}, {{real A B}}, {{text A B}} and \
            {{text-exponential MEAN MAX}} are filled in anew each time.
            """)
    var data: String?

    @Option(help: "A file with the body, filled in as --data.", completion: .file())
    var dataFile: String?

    @Option(help: "A file with a body a line, used one after the other.", completion: .file())
    var dataLines: String?

    @Option(
        name: [.customShort("H"), .long],
        help: "A field, 'name: value'; may be given several times. Keys come from --key-file.")
    var header: [String] = []

    @Option(
        help: """
            A file (mode 0600) with an endpoint key, sent as a bearer token. Several are used in \
            turn, FILE:WEIGHT as often as its weight says.
            """, completion: .file())
    var keyFile: [String] = []

    @Option(help: "The deployment that is to answer (azureml-model-deployment).")
    var deployment: String?

    @Flag(
        name: .customLong("request-ids"),
        help: "Give each request an x-request-id of its own, as the sealed log has it.")
    var requestIDs = false

    @Option(
        help: """
            How answers are read and what is sent by default: raw, azureml, kserve, openai-chat, \
            openai-completions, openai-embeddings.
            """)
    var api = InferenceAPI.raw

    @Option(help: "The model's name, for --api.")
    var model = "model"

    @Option(help: "What a language model is asked, for --api.")
    var prompt = "Name three moons of Jupiter."

    @Option(help: "How long the answer of a language model may be.")
    var maximumTokens = 64

    @Option(help: "What a good answer keeps, for goodput: latency<1s,ttft<200ms,tpot<50ms.")
    var slo: String?

    func apply(to plan: inout LoadPlan) throws(LoadError) {
        plan.request.method = try self.method.map { name throws(LoadError) in
            try Self.method(name)
        }
        plan.request.payloads = try self.payloads()
        for text in self.header { plan.request.fields.append(try Self.field(text)) }
        if let deployment {
            plan.request.fields.append(
                try Self.field("azureml-model-deployment: \(deployment)"))
        }
        for text in self.keyFile { plan.request.keys.append(try KeyPlan(text)) }
        plan.request.hasRequestIDs = self.requestIDs
        plan.api = self.api
        if plan.target.path == "/", let path = self.api.path(model: self.model) {
            plan.target.path = path
            plan.target.url += (plan.target.url.hasSuffix("/") ? "" : "/") + path.dropFirst()
        }
        if let slo { plan.serviceLevel = try ServiceLevel(slo) }
    }

    private func payloads() throws(LoadError) -> [PayloadTemplate] {
        let given = [self.data, self.dataFile, self.dataLines].count { $0 != nil }
        guard given <= 1 else { throw .usage("only one of --data, --data-file and --data-lines") }
        if let data { return [try PayloadTemplate(Array(data.utf8))] }
        if let dataFile { return [try PayloadFile.body(dataFile)] }
        if let dataLines { return try PayloadFile.lines(dataLines) }
        let body = self.api.body(
            model: self.model, prompt: self.prompt, maximumTokens: self.maximumTokens)
        guard let body else { return [] }
        return [try PayloadTemplate(Array(body.utf8))]
    }

    private static func method(_ name: String) throws(LoadError) -> HTTPMethod {
        let methods: [HTTPMethod] = [.get, .head, .post, .put, .delete, .options, .patch]
        guard let method = methods.first(where: { "\($0.name)" == name.uppercased() }) else {
            throw .usage(
                "--method \(name): one of "
                    + methods.map { "\($0.name)" }.joined(separator: ", "))
        }
        return method
    }

    private static func field(_ text: String) throws(LoadError) -> (name: String, value: String) {
        guard let colon = text.firstIndex(of: ":") else {
            throw .usage("--header '\(text)': a field is 'name: value'")
        }
        let name = text[..<colon].lowercased()
        let value = text[text.index(after: colon)...].drop { $0 == " " }
        let isToken =
            !name.isEmpty
            && name.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x61...0x7a).contains(byte)
                    || "!#$%&'*+-.^_`|~".utf8.contains(byte)
            }
        guard isToken, value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw .usage("--header '\(text)': not a field of HTTP")
        }
        guard name != "authorization", name != "proxy-authorization" else {
            throw .usage(
                "--header \(name): a command line is no place for a key; put it in a file of mode 0600 "
                    + "and name that by --key-file")
        }
        let framing = [
            "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer",
        ]
        guard !framing.contains(name) else {
            throw .usage("--header \(name): written by the tester itself")
        }
        return (name, String(value))
    }
}
