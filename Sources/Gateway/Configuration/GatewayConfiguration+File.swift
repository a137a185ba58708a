package import ServiceConfiguration

extension GatewayConfiguration {
    /// Reads and checks the configuration of a gateway or agent, and the files it names.
    ///
    /// Blocks on files; for starting, reloading and the command line.
    ///
    /// - Parameters:
    ///   - path: The file; problems name it as given here.
    ///   - environment: Environment variables of the process.
    /// - Returns: A configuration that can be acted on as it is.
    /// - Throws: Everything that is wrong, not only the first.
    package static func read(
        path: String, environment: [String: String]
    ) throws(InvalidConfiguration) -> GatewayConfiguration {
        try ConfigurationFile.read(path: path, environment: environment) { root, files in
            ConfigurationReader(files: files).gateway(root)
        }
    }
}

extension FileWatch.Files {
    /// As they are now; take it before reading them, so that no change falls in between.
    init(_ configuration: GatewayConfiguration) {
        var paths: [String] = []
        for listener in configuration.listeners {
            for files in listener.tls.certificates { paths += [files.chain, files.key] }
            switch listener.tls.clientAuthentication {
            case .none: break
            case .optional(let roots), .required(let roots): paths.append(roots)
            }
            if let lists = listener.tls.clientRevocationLists { paths.append(lists) }
        }
        if let identity = configuration.identity {
            paths += [
                identity.certificate.chain, identity.certificate.key, identity.trustRoots,
            ]
        }
        for endpoint in configuration.endpoints {
            for deployment in endpoint.deployments {
                paths += deployment.credentials.compactMap(\.file)
            }
        }
        self.init(paths)
    }
}
