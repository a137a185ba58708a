extension AzureKeyVault {
    /// Follows `GET /events` of a vault that tells of changes, until the task is cancelled.
    ///
    /// - Parameter hear: Told what becomes of it.
    package func follow(_ hear: (VaultNews) -> Void) async {
        await VaultEventStream { () throws(KeyVaultError) in
            (try self.questions.streamingClient(), self.address)
        }.follow(hear)
    }
}
