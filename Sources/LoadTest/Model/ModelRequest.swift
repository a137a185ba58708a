internal import Foundation

/// What a scoring request asks: flowers as rows of numbers.
///
/// `{"input_data": [[…], …]}` or `{"input_data": {"columns": […], "index": […], "data": [[…], …]}}`, the two
/// forms Azure Machine Learning's examples use.
enum ModelRequest {
    /// The rows; nil if the body is not of one of the forms.
    static func rows(_ body: [UInt8]) -> [[Double]]? {
        guard let json = try? JSONSerialization.jsonObject(with: Data(body)) as? [String: Any],
            let input = json["input_data"]
        else { return nil }
        let table = (input as? [String: Any])?["data"] ?? input
        guard let rows = table as? [[NSNumber]], !rows.isEmpty,
            rows.allSatisfy({ $0.count == IrisClassifier.featureCount })
        else { return nil }
        return rows.map { $0.map(\.doubleValue) }
    }
}
