internal import HTTPTransport

extension Exchange {
    /// What the client sees of the model's status.
    static func mappedStatus(
        _ status: Int, as wire: EndpointConfiguration.WireCompatibility
    ) -> Int {
        if 200..<300 ~= status || status == 101 { return status }
        switch wire {
        case .managed: return 424
        case .kubernetes: return 502
        case .transparent: return status
        }
    }

    /// What every answer gets: HSTS for two years, RFC 6797 6.1.1.
    static let answerFields = FieldBlock(["strict-transport-security": strictTransportSecurity])
    static let strictTransportSecurity = "max-age=63072000; includeSubDomains"
    /// What a client cannot tell a model.
    static let removedFromRequests = FieldNameSet.hopByHop.union(.spoofable).union([
        .authorization, .cookie, .expect, .traceparent, .azuremlModelDeployment,
    ])
    /// What a model cannot tell a client.
    static let removedFromResponses = FieldNameSet.hopByHop.union([
        .server, .xRequestID, .xMSRequestID, .xMSClientRequestID, .azuremlModelDeployment,
        .strictTransportSecurity, .xScoregate, .msAzureml,
    ])

    /// 64 KiB: what is held of a body that may have to be sent again.
    static let maximumHeldBytes = 65_536
    /// 4 KiB: room for such a body that stays from request to request.
    static let keptHeldBytes = 4096
}
