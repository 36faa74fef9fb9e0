package org.apache.beam.runners.jobsubmission;

import org.apache.beam.model.jobmanagement.v1.JobApi;
import org.apache.beam.sdk.PipelineResult;

/** What a run of Beam's Flink runner returns; its name and its one method are Beam's. */
public interface PortablePipelineResult extends PipelineResult {
  JobApi.MetricResults portableMetrics();
}
