// Who is at the other ends of an event loop's connections, and who may not be.
extension TLSWorkerResources {
    /// Refuses the certificates of `peers` from now on, and closes the connections with them.
    ///
    /// Must be called on the loop. The peer is told nothing: it sees the connection end.
    ///
    /// - Parameter peers: SPIFFE IDs, and serial numbers in lower-case hexadecimal; they take the
    ///   place of those given before.
    /// - Returns: The peers whose connections were closed.
    package func deny(_ peers: Set<String>) -> [TLSPeer] {
        self.deniedPeers = peers
        guard !peers.isEmpty else { return [] }
        var closed: [TLSPeer] = []
        // A copy: closing comes back to forget the connection.
        for handler in Array(self.peerConnections.values) {
            guard let peer = handler.session?.peer,
                peers.contains(peer.serial) || peer.identity.map(peers.contains) ?? false
            else { continue }
            closed.append(peer)
            handler.cutConnection()
        }
        return closed
    }

    /// Takes note of a connection whose peer has shown a certificate.
    func peerConnected(_ handler: TLSHandler) {
        self.peerConnections[ObjectIdentifier(handler)] = handler
    }

    /// Forgets a connection that has ended.
    func peerDisconnected(_ handler: TLSHandler) {
        self.peerConnections[ObjectIdentifier(handler)] = nil
    }
}
