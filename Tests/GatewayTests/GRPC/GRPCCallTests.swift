import HTTPTransport
import NIOCore
import Testing

@testable import Gateway

@Suite("gRPC calls")
struct GRPCCallTests {
    @Test(
        "grpc-timeout is one to eight digits and a unit",
        arguments: [
            ("1n", TimeAmount.nanoseconds(1)), ("0S", .zero), ("20u", .microseconds(20)),
            ("300m", .milliseconds(300)), ("5S", .seconds(5)), ("2M", .minutes(2)),
            ("1H", .hours(1)), ("00000001S", .seconds(1)), ("99999999m", .milliseconds(99_999_999)),
            ("99999999H", .hours(8760)), ("", nil), ("S", nil), ("5", nil), ("5s", nil),
            ("123456789S", nil), ("-1S", nil), ("+1S", nil), ("1.5S", nil), ("1 S", nil),
            (" 1S", nil), ("1SS", nil), ("1x", nil), ("0x1S", nil), ("1h", nil), ("１S", nil),
        ] as [(String, TimeAmount?)])
    func timeout(text: String, amount: TimeAmount?) {
        #expect(GRPCCall.timeout(Array(text.utf8).span) == amount)
    }

    @Test(
        "a content type of gRPC is told from others",
        arguments: [
            ("application/grpc", false), ("application/grpc+proto", false),
            ("application/grpc;charset=utf-8", false), ("Application/GRPC+json", false),
            ("application/grpc-web", true), ("application/grpc-web+proto", true),
            ("application/grpc-web-text", true), ("application/grpcx", nil),
            ("application/grpc-webx", nil), ("application/grp", nil), ("application/json", nil),
            ("", nil), ("text/application/grpc", nil),
        ] as [(String, Bool?)])
    func contentType(text: String, isWeb: Bool?) {
        #expect(GRPCCall.isWeb(contentType: Array(text.utf8).span) == isWeb)
    }

    @Test(
        "each error of the gateway has a status of gRPC",
        arguments: [
            (GatewayError.Kind.badRequest(.malformedField), GRPCStatus.internal),
            (.badRequest(.fieldsTooLarge), .resourceExhausted),
            (.badRequest(.bodyTooLarge), .resourceExhausted),
            (.badRequest(.timedOut), .deadlineExceeded),
            (.requestIDTooLong(isMSField: true), .invalidArgument), (.misdirected, .unimplemented),
            (.badAuthorization, .unauthenticated), (.accessDenied(nil), .unauthenticated),
            (.revoked, .unauthenticated), (.unknownPath, .unimplemented),
            (.noDeployment, .unimplemented), (.bodyTooLarge, .resourceExhausted),
            (.overloaded, .resourceExhausted), (.keysUnavailable, .unavailable),
            (.notReady, .unavailable), (.badBackend, .unavailable), (.timedOut, .deadlineExceeded),
            (.modelStatus(400), .internal), (.modelStatus(401), .unauthenticated),
            (.modelStatus(403), .permissionDenied), (.modelStatus(404), .unimplemented),
            (.modelStatus(429), .unavailable), (.modelStatus(503), .unavailable),
            (.modelStatus(418), .unknown), (.modelStatus(500), .unknown),
        ])
    func status(kind: GatewayError.Kind, status: GRPCStatus) {
        #expect(GRPCStatus(kind) == status)
    }

    @Test("a timeout that is none, or that stands twice, is refused")
    func repeated() throws {
        for (values, isRight) in [
            (["1S"], true), (["1S", "2S"], false), (["1x"], false), ([], true),
        ] {
            let head = MessageHead()
            for (name, value) in [("content-type", "application/grpc")]
                + values.map({ ("grpc-timeout", $0) })
            {
                head.append(name: Array(name.utf8).span, value: Array(value.utf8).span)
            }
            var call = try #require(GRPCCall(head))
            let start = NIODeadline.now()
            let isRead = (try? call.readTimeout(head, from: start)) != nil
            #expect(isRead == isRight)
            if isRight {
                #expect(call.deadline == (values.isEmpty ? .distantFuture : start + .seconds(1)))
            }
        }
    }

    @Test("a model that answers gRPC with a status of HTTP, and callers who are not let in")
    func answers() async throws {
        let backend = try await ScriptedBackend { _, _, text in
            if text.hasPrefix("POST /silent ") { return .nothing }
            let status = text.split(separator: " ")[1].dropFirst()
            return .send("HTTP/1.1 \(status) X\r\nContent-Length: 2\r\n\r\nhi")
        }
        let bench = try await ExchangeBench([backend])
        let fields = [("Content-Type", "application/grpc+proto"), ("TE", "trailers")]
        for (path, status, model) in [
            ("/503", "14", "503"), ("/404", "12", "404"), ("/302", "2", "302"),
        ] {
            let answer = try await bench.ask(.post, path, fields: fields)
            #expect(answer.status == 200)
            #expect(answer.value(of: "grpc-status") == status)
            #expect(answer.value(of: "grpc-message") == "model_error")
            #expect(answer.value(of: "content-type") == "application/grpc+proto")
            #expect(answer.value(of: "ms-azureml-model-error-statuscode") == model)
            #expect(answer.value(of: "azureml-model-deployment") == "blue")
            #expect(answer.body.isEmpty)
        }
        let late = try await bench.ask(
            .post, "/silent", fields: fields + [("grpc-timeout", "100m")])
        #expect(late.status == 200)
        #expect(late.value(of: "grpc-status") == "4")
        let malformed = try await bench.ask(.post, fields: fields + [("grpc-timeout", "soon")])
        #expect(malformed.value(of: "grpc-status") == "13")
        let refused = try await bench.ask(.post, fields: fields, authorization: "Bearer x")
        #expect(refused.status == 200)
        #expect(refused.value(of: "grpc-status") == "16")
        #expect(refused.value(of: "grpc-message") == "key_auth_access_denied")
        // A caller's short deadline says nothing about the backend.
        #expect(try await bench.gateway.metrics().contains("gateway_backend_healthy{"))
        await bench.stop()
    }
}
