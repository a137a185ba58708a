internal import ServiceConfiguration

extension GatewayConfiguration {
    /// Throws if something is different in `new` that is fixed at the start.
    func checkFixed(_ new: GatewayConfiguration) throws(StartError) {
        var changed: [String] = []
        if self.listeners.map(\.address) != new.listeners.map(\.address) {
            changed.append("listeners")
        }
        if self.workers != new.workers { changed.append("workers") }
        if self.stateDirectory != new.stateDirectory { changed.append("state") }
        if self.rootKeyFile != new.rootKeyFile { changed.append("root_key") }
        if self.log != new.log { changed.append("log") }
        if self.accessLog != new.accessLog { changed.append("access_log") }
        if self.admin != new.admin { changed.append("admin") }
        if self.limits.connections != new.limits.connections {
            changed.append("limits.connections")
        }
        guard changed.isEmpty else {
            throw .configuration(
                "a restart is needed for a change of \(changed.joined(separator: ", "))")
        }
    }
}
