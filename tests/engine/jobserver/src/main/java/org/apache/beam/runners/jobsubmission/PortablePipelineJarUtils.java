package org.apache.beam.runners.jobsubmission;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Message;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.Struct;
import org.apache.beam.vendor.grpc.v1p69p0.com.google.protobuf.util.JsonFormat;

/**
 * Reads the job that Beam's Python SDK has written into this jar, as protobuf in JSON. Beam's Flink runner calls this
 * class and its public methods by name.
 */
public final class PortablePipelineJarUtils {
  private static final String FOLDER = "BEAM-PIPELINE/";

  private PortablePipelineJarUtils() {}

  /** Name of the job in the jar. */
  public static String getDefaultJobName() throws IOException {
    Struct manifest = read("pipeline-manifest.json", Struct.newBuilder()).build();
    return manifest.getFieldsOrThrow("defaultJobName").getStringValue();
  }

  public static RunnerApi.Pipeline getPipelineFromClasspath(String job) throws IOException {
    return read(job + "/pipeline.json", RunnerApi.Pipeline.newBuilder()).build();
  }

  public static Struct getPipelineOptionsFromClasspath(String job) throws IOException {
    return read(job + "/pipeline-options.json", Struct.newBuilder()).build();
  }

  private static <T extends Message.Builder> T read(String name, T into) throws IOException {
    InputStream resource = PortablePipelineJarUtils.class.getClassLoader().getResourceAsStream(FOLDER + name);
    if (resource == null) {
      throw new FileNotFoundException(FOLDER + name + " is not in the jar");
    }
    try (Reader reader = new InputStreamReader(resource, StandardCharsets.UTF_8)) {
      // The SDK may be a few versions newer than the runner.
      JsonFormat.parser().ignoringUnknownFields().merge(reader, into);
    }
    return into;
  }
}
