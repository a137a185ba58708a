// swift-tools-version: 6.2
import PackageDescription

// A target imports only the targets named beside it, all of them below it. The build holds us to
// it: `make` passes --explicit-target-dependency-import-check error.
let package = Package(
    name: "scoregate",
    products: [.executable(name: "scoregate", targets: ["scoregate"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.2"),
        .package(
            url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(
            url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1",
            traits: []),
        .package(url: "https://github.com/jpsim/Yams.git", from: "6.2.2"),
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
    ],
    targets: [
        .executableTarget(
            name: "scoregate",
            dependencies: [
                "Gateway", "Vault", "LoadTest", "ServiceConfiguration", "State", "KeyVault",
                "SealedLog",
                "TLS", "Cryptography",
                "HTTPTransport",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(
            name: "Gateway",
            dependencies: [
                "ServiceConfiguration", "ControlServer", "State", "KeyVault", "SealedLog",
                "HTTPTransport", "TLS", "Cryptography",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .target(
            name: "Vault",
            dependencies: [
                "ServiceConfiguration", "ControlServer", "State", "KeyVault", "TLS",
                "Cryptography", "CPKCS11",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .target(
            name: "LoadTest",
            dependencies: [
                "HTTPTransport", "TLS", "Cryptography",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(
            name: "ControlServer",
            dependencies: [
                "TLS", "Cryptography",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ], swiftSettings: strict),
        .target(
            name: "ServiceConfiguration",
            dependencies: ["State", "Cryptography", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(
            name: "State",
            dependencies: ["Cryptography", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: strict),
        .target(
            name: "HTTPTransport",
            dependencies: [
                "TLS", "Cryptography",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(
            name: "TLS",
            dependencies: [
                "Cryptography", "COpenSSL",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(
            name: "KeyVault",
            dependencies: [
                "State", "HTTPTransport", "TLS", "Cryptography",
                .product(name: "NIOCore", package: "swift-nio"),
            ], swiftSettings: strict),
        .target(name: "SealedLog", dependencies: ["Cryptography"], swiftSettings: strict),
        .target(name: "Cryptography", dependencies: ["COpenSSL"], swiftSettings: strict),
        .systemLibrary(
            name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
        // The header alone: modules are loaded at run time.
        .systemLibrary(name: "CPKCS11", providers: [.apt(["libp11-kit-dev"])]),
        // What the tests hold our HPACK against.
        .systemLibrary(name: "CNghttp2"),

        // What two test targets have in common.
        .target(
            name: "RefusedRequests", path: "Tests/RefusedRequests", swiftSettings: strict),
        .testTarget(
            name: "CryptographyTests", dependencies: ["Cryptography"], swiftSettings: strict),
        .testTarget(
            name: "SealedLogTests", dependencies: ["SealedLog", "Cryptography"],
            exclude: ["format-vectors.json", "sealed_log.py"], swiftSettings: strict),
        .testTarget(
            name: "StateTests", dependencies: ["State", "Cryptography"], swiftSettings: strict),
        .testTarget(
            name: "ServiceConfigurationTests", dependencies: ["ServiceConfiguration"],
            swiftSettings: strict),
        .testTarget(
            name: "KeyVaultTests",
            dependencies: [
                "KeyVault", "State", "HTTPTransport", "TLS", "Cryptography",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "TLSTests",
            dependencies: [
                "TLS", "Cryptography", "COpenSSL",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "HTTPTransportTests",
            dependencies: [
                "RefusedRequests", "HTTPTransport", "TLS", "Cryptography", "CNghttp2",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "GatewayTests",
            dependencies: [
                "Gateway", "ServiceConfiguration", "State", "KeyVault", "SealedLog",
                "HTTPTransport",
                "TLS", "Cryptography",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "ControlServerTests",
            dependencies: [
                "ControlServer", "HTTPTransport", "TLS", "Cryptography",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "VaultTests",
            dependencies: [
                "Vault", "ServiceConfiguration", "KeyVault", "State", "Cryptography",
                .product(name: "GRDB", package: "GRDB.swift"),
            ], swiftSettings: strict),
        .testTarget(
            name: "LoadTestTests",
            dependencies: [
                "LoadTest", "HTTPTransport", "TLS", "Cryptography",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests",
            dependencies: [
                "RefusedRequests", "scoregate", "LoadTest", "KeyVault", "State", "HTTPTransport",
                "TLS",
                "Cryptography",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

// What libFuzzer feeds, built by .ci/fuzz with its own flags: an executable without a main.
if Context.environment["SCOREGATE_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "Fuzz",
            dependencies: [
                "HTTPTransport", "TLS", "Cryptography",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ], path: "Fuzz", exclude: ["seeds.py", "http1.dict"], swiftSettings: strict))
}

// What `make bench` measures by itself, from memory to memory.
if Context.environment["SCOREGATE_BENCH"] != nil {
    package.targets.append(
        .executableTarget(
            name: "Sealing", dependencies: ["SealedLog", "Cryptography"],
            path: "Benchmarks/Sealing", swiftSettings: strict))
}

/// What every target is built with.
var strict: [SwiftSetting] {
    [
        .strictMemorySafety(),
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InferIsolatedConformances"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
        // Spans that stand for memory an owner of ours holds (SecretBytes.bytes).
        .enableExperimentalFeature("Lifetimes"),
    ]
}
