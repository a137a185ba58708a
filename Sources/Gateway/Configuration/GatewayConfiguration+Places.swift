internal import Foundation
internal import ServiceConfiguration
internal import State

extension GatewayConfiguration {
    /// What would keep the process from starting of the places it writes to or listens at, as far as that
    /// can be seen without writing: a sentence each.
    package var placeProblems: [String] {
        var problems: [String] = []
        if self.rootKeyFile != nil, let problem = StateStore.problem(of: self.stateDirectory) {
            problems.append(problem.description)
        }
        if case .file(let path)? = self.accessLog,
            let problem = Self.problem(of: path, isFolder: false)
        {
            problems.append("the access log \(path) cannot be opened: \(problem)")
        }
        if let path = self.log?.directory, let problem = Self.problem(of: path, isFolder: true) {
            problems.append("the log cannot be opened: \(path): \(problem)")
        }
        for listener in self.listeners {
            if let problem = listener.address.placeProblem { problems.append(problem) }
        }
        if let problem = self.admin?.address.placeProblem {
            problems.append("the admin listener: \(problem)")
        }
        return problems
    }

    /// Why a file, or a folder, that is there or is to be made cannot be written to.
    private static func problem(of path: String, isFolder: Bool) -> String? {
        switch (Place(path), isFolder) {
        case (.nothing, _): Place.problem(ofMaking: path)
        case (.folder, false): "it is a folder"
        case (.other, true): "it is no folder"
        case (.folder, true), (.other, false):
            FileManager.default.isWritableFile(atPath: path)
                ? nil : "this user may not write to it"
        }
    }
}

extension ListenAddress {
    /// What is in the way of a Unix socket here; nil for another address, or if nothing is.
    fileprivate var placeProblem: String? {
        guard case .unix(let path) = self else { return nil }
        guard case .nothing = Place(path) else {
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            if attributes?[.type] as? FileAttributeType == .typeSocket { return nil }
            return "cannot listen at \(self): \(path) is there and is no socket; move it away"
        }
        return Place.problem(ofMaking: path).map { "cannot listen at \(self): \($0)" }
    }
}

/// What is at a path.
private enum Place {
    case nothing
    case folder
    case other

    init(_ path: String) {
        var isFolder: ObjCBool = false
        let exists = unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        self = exists ? isFolder.boolValue ? .folder : .other : .nothing
    }

    /// Why nothing could be made at `path`.
    static func problem(ofMaking path: String) -> String? {
        let parent = URL(fileURLWithPath: path).deletingLastPathComponent().path
        guard case .folder = Self(parent) else { return "there is no folder \(parent)" }
        return FileManager.default.isWritableFile(atPath: parent)
            ? nil : "this user may not make anything in \(parent)"
    }
}
