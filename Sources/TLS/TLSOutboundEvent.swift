/// What a ``TLSHandler`` can be told from up its pipeline.
package enum TLSOutboundEvent {
    /// The close that follows is to look like the cut that it is: no close_notify.
    case abort
}
