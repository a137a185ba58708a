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
        if case .file(let path)? = self.accessLog, let problem = Self.problem(ofFile: path) {
            problems.append("the access log \(path) cannot be opened: \(problem)")
        }
        if let path = self.log?.directory, let problem = Self.problem(ofFolder: path) {
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

    private static func problem(ofFile path: String) -> String? {
        switch Place(path) {
        case .nothing: Place.problem(ofMaking: path)
        case .folder: "it is a folder"
        case .other:
            FileManager.default.isWritableFile(atPath: path)
                ? nil : "this user may not write to it"
        }
    }

    private static func problem(ofFolder path: String) -> String? {
        switch Place(path) {
        case .nothing: Place.problem(ofMaking: path)
        case .folder:
            FileManager.default.isWritableFile(atPath: path)
                ? nil : "this user may not write to it"
        case .other: "it is no folder"
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
