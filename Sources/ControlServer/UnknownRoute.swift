internal import Hummingbird

/// Answers what no route does, in the form of Azure's errors: 404, or 405 where the path has other methods.
struct UnknownRoute: RouterMiddleware {
    let routes: [ControlRoute]

    // As Hummingbird, which is built without our upcoming features, declares it.
    @concurrent func handle(
        _ request: Request, context: ControlContext,
        next: @concurrent (Request, ControlContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let error as HTTPError where error.status == .notFound {
            var response = self.refusal(of: request.uri.path)
            // All of the request was read, so the connection is good for another.
            response.headers[.connection] = nil
            if request.method == .head { response.body = .init() }
            return response
        }
    }

    private func refusal(of path: String) -> Response {
        let segments = path.split(separator: "/")
        let methods = self.routes.filter { route in
            let names = route.path.split(separator: "/")
            return names.count == segments.count
                && zip(names, segments).allSatisfy { $0.hasPrefix(":") || $0 == $1 }
        }.map(\.method.rawValue)
        guard !methods.isEmpty else {
            return .refusal(404, "NotFound", "There is nothing at this path.")
        }
        var response = Response.refusal(
            405, "MethodNotAllowed", "The path is not for this method.")
        response.headers[.allow] = methods.joined(separator: ", ")
        return response
    }
}
